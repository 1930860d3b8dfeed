//! Reader threads: blocking reads run here, so that tokio's workers never wait for a disk.
//!
//! Jobs of all shards share one bounded queue, and a job that does not fit is refused. What a job reads is not known here.

use callboard_core::limits;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    stopped: bool,
}

/// Threads that read, shared by all shards of a node.
pub struct Readers {
    queue: Arc<(Mutex<Queue>, Condvar)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    /// Starts so many threads.
    pub fn start(threads: usize) -> std::io::Result<Readers> {
        let queue: Arc<(Mutex<Queue>, Condvar)> = Arc::default();
        let threads = (0..threads.max(1))
            .map(|n| {
                let queue = Arc::clone(&queue);
                std::thread::Builder::new().name(format!("reader-{n}")).spawn(move || work(&queue))
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Readers { queue, threads: Mutex::new(threads) })
    }

    /// Queues a job. Returns false if too many wait or the readers have stopped.
    #[must_use]
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let (queue, wake) = &*self.queue;
        let mut queue = queue.lock();
        if queue.stopped || queue.jobs.len() >= limits::READ_QUEUE {
            return false;
        }
        queue.jobs.push_back(Box::new(job));
        wake.notify_one();
        true
    }

    /// Jobs that wait for a thread.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.0.lock().jobs.len()
    }

    /// Ends the threads. Waiting jobs are dropped, which answers them.
    pub fn stop(&self) {
        let (queue, wake) = &*self.queue;
        {
            let mut queue = queue.lock();
            queue.stopped = true;
            queue.jobs.clear();
        }
        wake.notify_all();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            let _ = thread.join();
        }
    }
}

fn work(queue: &(Mutex<Queue>, Condvar)) {
    let (queue, wake) = queue;
    loop {
        let job = {
            let mut queue = queue.lock();
            loop {
                if queue.stopped {
                    return;
                }
                match queue.jobs.pop_front() {
                    Some(job) => break job,
                    None => wake.wait(&mut queue),
                }
            }
        };
        // A panic drops the job's answer, which its caller takes for an error; the thread goes on.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a read panicked: a fault of this program");
        }
    }
}
