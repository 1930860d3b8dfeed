//! The binary: parses the command line and runs a node.

fn main() {}
