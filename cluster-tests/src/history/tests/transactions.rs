//! Anomalies of transactions, planted. The product has no transactions yet; the checker waits for them.

use super::super::Anomaly;
use super::super::op::{Outcome, UNTOLD};
use super::tale::{A, B, finds};

#[test]
fn an_aborted_value_that_was_read() {
    finds(&[Anomaly::G1a], |t| {
        // Offset 6 is the aborted one.
        t.logs[A].push((6, 303));
        vec![]
    });
    finds(&[Anomaly::G1a], |t| {
        let sent = t.send(3, 3, A, 310);
        // The commit was refused, which aborts.
        t.end_txn(3, 3, true, Outcome::Fail, &[A]);
        vec![sent]
    });
}

#[test]
fn a_transaction_of_unknown_outcome_is_whole() {
    finds(&[], |t| {
        t.send(3, 3, A, 310);
        t.send(3, 3, B, 311);
        vec![t.end_txn(3, 3, true, Outcome::Info, &[A, B])]
    });
    finds(&[], |t| {
        t.told(3, 3, A, 310, 8);
        t.told(3, 3, B, 311, 5);
        vec![t.end_txn(3, 3, true, Outcome::Info, &[])]
    });
    // One half was read, so the other one must be there.
    finds(&[Anomaly::LostWrite], |t| {
        t.send(3, 3, A, 310);
        let torn = t.told(3, 3, B, 311, UNTOLD);
        t.end_txn(3, 3, true, Outcome::Info, &[A, B]);
        vec![torn]
    });
}

#[test]
fn a_transaction_that_reads_its_own_value() {
    finds(&[Anomaly::PrecommittedRead], |t| {
        let sent = t.send(3, 3, A, 310);
        let read = t.poll(3, 3, A, &[(8, 310)]);
        t.end_txn(3, 3, true, Outcome::Ok, &[A]);
        vec![sent, read]
    });
}

#[test]
fn polls_inside_a_transaction() {
    finds(&[Anomaly::IntNonmonotonicPoll], |t| {
        let polls = vec![t.poll(3, 3, A, &[(0, 101), (1, 102)]), t.poll(3, 3, A, &[(1, 102)])];
        t.end_txn(3, 3, true, Outcome::Ok, &[]);
        polls
    });
    finds(&[Anomaly::IntPollSkip], |t| {
        let polls = vec![t.poll(3, 3, A, &[(0, 101)]), t.poll(3, 3, A, &[(2, 103)])];
        t.end_txn(3, 3, true, Outcome::Ok, &[]);
        polls
    });
}

#[test]
fn sends_inside_a_transaction() {
    finds(&[Anomaly::IntNonmonotonicSend], |t| {
        t.append(A, 311);
        t.append(A, 310);
        let sends = vec![t.told(3, 3, A, 310, UNTOLD), t.told(3, 3, A, 311, UNTOLD)];
        t.end_txn(3, 3, true, Outcome::Ok, &[A]);
        sends
    });
    // A record between two of one transaction is a circle of writes too.
    finds(&[Anomaly::IntSendSkip, Anomaly::G0], |t| {
        let first = t.send(3, 3, A, 310);
        t.send(1, 0, A, 105);
        let second = t.send(3, 3, A, 311);
        t.end_txn(3, 3, true, Outcome::Ok, &[A]);
        vec![first, second]
    });
}

#[test]
fn circles_of_transactions() {
    finds(&[Anomaly::G0], |t| {
        let first = t.send(3, 3, A, 310);
        let second = t.send(4, 1, A, 410);
        t.send(4, 1, B, 411);
        t.send(3, 3, B, 311);
        t.end_txn(3, 3, true, Outcome::Ok, &[A, B]);
        t.end_txn(4, 1, true, Outcome::Ok, &[A, B]);
        vec![first, second]
    });
    finds(&[Anomaly::G1c], |t| {
        let first = t.send(3, 3, A, 310);
        // Another's record between them, so that no write follows a write of the other.
        t.send(1, 0, A, 105);
        let second = t.send(4, 1, B, 410);
        t.poll(4, 1, A, &[(8, 310)]);
        t.poll(3, 3, B, &[(5, 410)]);
        t.end_txn(3, 3, true, Outcome::Ok, &[A]);
        t.end_txn(4, 1, true, Outcome::Ok, &[B]);
        vec![first, second]
    });
    finds(&[Anomaly::G1cWithWrites], |t| {
        let first = t.send(3, 3, A, 310);
        let second = t.send(4, 1, A, 410);
        t.send(4, 1, B, 411);
        t.poll(3, 3, B, &[(5, 411)]);
        t.end_txn(3, 3, true, Outcome::Ok, &[A]);
        t.end_txn(4, 1, true, Outcome::Ok, &[A, B]);
        vec![first, second]
    });
    // One that reads another's value and is read by nobody is no circle.
    finds(&[], |t| {
        t.send(3, 3, A, 310);
        t.end_txn(3, 3, true, Outcome::Ok, &[A]);
        t.poll(4, 1, A, &[(8, 310)]);
        t.send(4, 1, B, 410);
        vec![t.end_txn(4, 1, true, Outcome::Ok, &[B])]
    });
}
