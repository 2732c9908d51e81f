//! Old events are dropped while everybody works, by the service's own means, as another replica would. PostgreSQL keeps them
//! aside, so that in the end there is all of the feed to check against.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use countersign::{
    domain::{database_url::DatabaseUrl, pepper::PepperRing, time::Clock},
    store::Store,
};

use super::{
    cluster::Cluster,
    faults::until_done,
    workers::{Stop, pause},
};
use crate::support::{random::Random, server::PEPPER};

/// How many of the newest are never old: about what comes in a second.
const YOUNG: usize = 100;
/// How long those are kept that are old in truth.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// An old one has its time negated, by which it is older than any.
const KEEP_ASIDE: &str = "\
    CREATE TABLE aside AS TABLE event WITH NO DATA; \
    CREATE FUNCTION keep_aside() RETURNS trigger LANGUAGE plpgsql AS $$ \
    BEGIN INSERT INTO aside SELECT OLD.*; RETURN OLD; END $$; \
    CREATE TRIGGER keep_aside BEFORE DELETE ON event FOR EACH ROW EXECUTE FUNCTION keep_aside()";
const BRING_BACK: &str = "\
    BEGIN; DROP TRIGGER keep_aside ON event; INSERT INTO event SELECT * FROM aside; \
    UPDATE event SET at = -at WHERE at < 0; UPDATE feed_tail SET revision = 0; \
    DELETE FROM dropped_event; COMMIT";

/// Has PostgreSQL keep what is dropped.
pub(super) async fn prepare(cluster: &Cluster) {
    assert!(cluster.sql(KEEP_ASIDE).await, "the trigger is there");
}

/// Drops what is old again and again, and answers how many that were.
pub(super) async fn drop_old(cluster: Arc<Cluster>, mut random: Random, stop: Stop) -> usize {
    let url = DatabaseUrl::parse(cluster.database.url()).expect("an address");
    let ring = PepperRing::parse(PEPPER).expect("a pepper");
    // A fault may come first.
    let store = loop {
        if stop.load(Ordering::Relaxed) {
            return 0;
        }
        match Store::open(&url, &ring, Clock::system()).await {
            Ok(store) => break store,
            Err(_) => pause(&mut random, 100, 500).await,
        }
    };
    let age = format!(
        "UPDATE event SET at = -at \
         WHERE at > 0 AND revision <= (SELECT revision FROM feed_head) - {YOUNG}"
    );
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        cluster.sql(&age).await;
        // It may fail as everything may, and is tried again.
        if let Ok(dropped) = store.drop_events(RETENTION).await {
            count += dropped.count;
        }
        pause(&mut random, 100, 500).await;
    }
    store.close().await;
    count
}

/// Makes the feed whole again.
pub(super) async fn bring_back(cluster: &Cluster) {
    until_done(cluster, BRING_BACK).await;
}
