//! The metrics tell what became of reloads, and under which policy decisions are made.

use countersign::domain::policy::Policy;

use super::running::{policies, sample, scrape};
use crate::support::{
    database::{Backend, TestDatabase},
    server::{Setup, TestServer},
};

const OTHER: &str =
    "[resources.bookings]\nverbs = [\"read\"]\n[roles.member]\nown = [\"bookings.read\"]\n";

async fn scraped(server: &TestServer) -> String {
    let address = server.metrics_address();
    let scraped = tokio::task::spawn_blocking(move || scrape(address));
    scraped.await.expect("the port answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_name_the_running_policy_and_no_other() {
    let database = TestDatabase::create(Backend::Sqlite).await;
    let database = database.expect("the embedded one is always there");
    let server = TestServer::start(&database).await;
    let embedded = Policy::embedded().expect("it is good");
    let other = Policy::parse(OTHER).expect("it is good");
    let (first, second) = (embedded.hash(), other.hash());
    assert_eq!(policies(&scraped(&server).await), [first]);

    let setup = Setup {
        policy: other.clone(),
        ..Setup::default()
    };
    assert!(server.reload(setup).await);
    assert_eq!(policies(&scraped(&server).await), [second]);

    // The same again, and back.
    for (policy, hash) in [(&other, second), (&embedded, first)] {
        let setup = Setup {
            policy: policy.clone(),
            ..Setup::default()
        };
        assert!(server.reload(setup).await);
        assert_eq!(policies(&scraped(&server).await), [hash]);
    }
    let said = scraped(&server).await;
    let count = |outcome| {
        let name = format!("countersign_reloads_total{{outcome=\"{outcome}\"}}");
        sample(&said, &name)
    };
    assert_eq!(count("APPLIED"), Some(3));
    assert_eq!(count("REFUSED"), Some(0));
}
