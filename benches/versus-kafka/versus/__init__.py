"""Callboard beside Apache Kafka: what run.sh, ../soak.sh, ../profile.sh and ../pairs.sh run. Python's standard library only.

    __main__  options, pairs in turn          soak     an hour of load, its CSV and its verdict
        |                                      |  \
       plan   what is measured, for how long   |   plot   the CSV as SVG
        |                                      |
      lives   what one broker goes through  <--+--  pairs    an old and a new Callboard in turn
      /   \                                    '--  profile  where its CPU goes
 clients  brokers   the load and the brokers     results  samples, the Markdown table     machine  what it ran on
   |  \   /
   |  proc   processes: all die with this one
 payload     what is sent
"""
