//! Threads for work with the database, which come after those that decide from memory.

use std::io;

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};
use tracing::{Instrument, Span};

use super::embedded::yield_thread;

/// Where what is asked of the database is prepared, and what it answers is read. Either takes longer than a decision does:
/// on the same threads, thousands of them a second would keep each decision waiting for some.
pub struct Background {
    handle: Handle,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

impl Background {
    pub(super) fn start() -> io::Result<Self> {
        let yield_processors = || {
            // Elsewhere it would be the priority of all threads.
            if cfg!(target_os = "linux") {
                yield_thread(None);
            }
        };
        let runtime = Builder::new_multi_thread()
            .thread_name("store")
            .on_thread_start(yield_processors)
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Runs it to its end, whatever becomes of who asked for it.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(task.instrument(Span::current()))
    }
}

impl Drop for Background {
    /// By whomever: it may be a task, which must not wait for others.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::Arc;

    use rustix::process::getpriority_process;

    use super::*;
    use crate::store::embedded::NICENESS;

    #[tokio::test]
    async fn its_threads_yield_and_may_be_the_last_to_have_it()
    -> Result<(), Box<dyn std::error::Error>> {
        let background = Arc::new(Background::start()?);
        let before = getpriority_process(None)?;
        let its_own = background.spawn(async { getpriority_process(None) });
        assert_eq!(its_own.await??, NICENESS);
        assert_eq!(getpriority_process(None)?, before);
        let last = Arc::clone(&background);
        let (go_on, gone_on) = tokio::sync::oneshot::channel();
        let ended = background.spawn(async move {
            gone_on.await.ok();
            drop(last);
        });
        drop(background);
        go_on.send(()).ok();
        assert!(ended.await.is_ok());
        Ok(())
    }
}
