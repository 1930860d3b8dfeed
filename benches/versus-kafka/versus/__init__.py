"""Callboard beside Apache Kafka: what run.sh and ../soak.sh run. Python's standard library only.

    __main__  options, pairs in turn          soak   an hour of load, its CSV and its verdict
        |                                      |  \
       plan   what is measured, for how long   |   plot   the CSV as SVG
        |                                      |
      lives   what one broker goes through  <--'
      /   \
 clients  brokers   the load and the brokers     results  samples, the Markdown table     machine  what it ran on
      \   /
      proc   processes: all die with this one
"""
