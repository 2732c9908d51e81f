//! When to read the configuration again: at SIGHUP, and when one of its files changes.

use std::time::Duration;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::Failure;
use crate::{
    config::{self, Faults, FlagValues, Mode, Sources},
    server::Reload,
};

/// How often the files are looked at. By their content: a mounted ConfigMap changes by a symbolic link, and the time of a
/// file tells nothing then.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Watches from now on. `flags` are those that the process was started with; they still override what the files say.
/// `files` is the fingerprint of what it was started from.
pub(super) fn watch(flags: FlagValues, files: String) -> Result<mpsc::Receiver<Reload>, Failure> {
    let hang_up = signal(SignalKind::hangup())
        .map_err(|error| Failure::new("cannot catch signals", error))?;
    let (send, reloads) = mpsc::channel(1);
    tokio::spawn(run(flags, files, hang_up, send));
    Ok(reloads)
}

async fn run(flags: FlagValues, files: String, mut hang_up: Signal, send: mpsc::Sender<Reload>) {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Some(files);
    loop {
        let is_asked = tokio::select! {
            () = send.closed() => return,
            _ = hang_up.recv() => true,
            _ = looks.tick() => false,
        };
        let now = fingerprint(&flags).await;
        if !is_asked && now == last {
            continue;
        }
        last = now;
        let again = flags.clone();
        let Ok(config) = spawn_blocking(move || load(again)).await else {
            continue;
        };
        let (applied, done) = oneshot::channel();
        let reload = Reload {
            config,
            applied: Some(applied),
        };
        if send.send(reload).await.is_err() {
            return;
        }
        done.await.ok();
    }
}

fn load(flags: FlagValues) -> Result<config::Config, Faults> {
    config::load(Mode::Serve, &Sources::gather(flags)?)
}

/// What the files hold at this moment. None: they could not be looked at.
async fn fingerprint(flags: &FlagValues) -> Option<String> {
    let flags = flags.clone();
    spawn_blocking(move || {
        Sources::gather(flags)
            .ok()
            .map(|sources| config::fingerprint(&sources))
    })
    .await
    .ok()
    .flatten()
}
