//! What the database says happened, and whether that can be: a feed without gaps, a row for each event and an event for
//! each row, and all that was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ConnectionTrait, IsolationLevel, QueryResult, Statement, TransactionTrait};

use super::database::{Backend, TestDatabase};

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) number: i64,
    pub(crate) event_id: String,
    /// In milliseconds since the epoch.
    pub(crate) at: i64,
    pub(crate) kind: String,
    /// [`subject`] of what it is about.
    pub(crate) subject: String,
    /// More about it, as JSON.
    pub(crate) details: String,
}

/// One row of the tokens.
#[derive(Debug, Clone)]
pub(crate) struct TokenRow {
    /// [`subject`] of it.
    pub(crate) subject: String,
    pub(crate) is_revoked: bool,
}

/// A mutation that was answered, with the revision in the answer.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) revision: String,
    pub(crate) kind: &'static str,
    pub(crate) subject: String,
}

/// All of it, at one instant.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) head: (i64, String),
    /// By number.
    pub(crate) events: Vec<Recorded>,
    pub(crate) tokens: Vec<TokenRow>,
}

/// What an event is about, as one text. Empty parts: it is about none.
pub(crate) fn subject(workspace_id: &str, member_id: &str, token_id: &str) -> String {
    format!("{workspace_id}/{member_id}/{token_id}")
}

impl Recorded {
    /// As the mutation returned it.
    pub(crate) fn revision(&self) -> String {
        format!("{}-{}", self.number, &self.event_id[..16])
    }
}

impl History {
    /// Reads it in one snapshot: a process that was killed may have left a statement behind that still runs.
    pub(crate) async fn read(database: &TestDatabase) -> Self {
        let connection = database.connect().await;
        let isolation = match database.backend() {
            Backend::Sqlite => None,
            Backend::Postgres => Some(IsolationLevel::RepeatableRead),
        };
        let snapshot = connection
            .begin_with_config(isolation, None)
            .await
            .expect("a snapshot begins");
        let rows = async |sql: &str| {
            let statement = Statement::from_string(connection.get_database_backend(), sql);
            let rows = snapshot.query_all_raw(statement).await;
            rows.expect("the query runs")
        };
        let heads = rows("SELECT revision, event_id FROM feed_head").await;
        let events = rows("SELECT * FROM event ORDER BY revision").await;
        let tokens = rows("SELECT * FROM token").await;
        snapshot.rollback().await.expect("the snapshot ends");
        connection.close().await.expect("the connection closes");
        assert_eq!(heads.len(), 1, "the feed has one head");
        Self {
            head: (get(&heads[0], "revision"), event_id(&heads[0])),
            events: events
                .iter()
                .map(|row| Recorded {
                    number: get(row, "revision"),
                    event_id: event_id(row),
                    at: get(row, "at"),
                    kind: get(row, "kind"),
                    subject: subject_of(row),
                    details: get(row, "details"),
                })
                .collect(),
            tokens: tokens
                .iter()
                .map(|row| TokenRow {
                    subject: subject_of(row),
                    is_revoked: get::<Option<i64>>(row, "revoked_at").is_some(),
                })
                .collect(),
        }
    }

    /// Fails unless there are no [`Self::faults`].
    #[track_caller]
    pub(crate) fn assert_sound(&self, acknowledged: &[Acknowledged]) {
        let faults = self.faults(acknowledged);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// How many events there are of this kind.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.events
            .iter()
            .filter(|event| event.kind == kind)
            .count()
    }

    /// Everything in it that cannot be.
    pub(crate) fn faults(&self, acknowledged: &[Acknowledged]) -> Vec<String> {
        let mut faults = Vec::new();
        for (number, event) in (0..).zip(&self.events) {
            if event.number != number {
                faults.push(format!("{event:?} stands where {number} should"));
                break;
            }
        }
        let newest = self.events.last();
        let newest = newest.map(|event| (event.number, event.event_id.clone()));
        if newest.as_ref() != Some(&self.head) {
            faults.push(format!("the head is {:?}, not {newest:?}", self.head));
        }
        let rows = |only_revoked: bool| {
            let rows = self.tokens.iter();
            let rows = rows.filter(move |token| token.is_revoked || !only_revoked);
            rows.map(|token| token.subject.as_str())
        };
        let events = |kind: &'static str| {
            let events = self.events.iter().filter(move |event| event.kind == kind);
            events.map(|event| event.subject.as_str())
        };
        compare(
            "TOKEN_ISSUED",
            rows(false),
            events("TOKEN_ISSUED"),
            &mut faults,
        );
        compare(
            "TOKEN_REVOKED",
            rows(true),
            events("TOKEN_REVOKED"),
            &mut faults,
        );
        self.find_lost(acknowledged, &mut faults);
        faults
    }

    /// Every acknowledged mutation must be there, at a revision of its own.
    fn find_lost(&self, acknowledged: &[Acknowledged], faults: &mut Vec<String>) {
        let events: BTreeMap<String, &Recorded> = self
            .events
            .iter()
            .map(|event| (event.revision(), event))
            .collect();
        let mut seen = BTreeSet::new();
        for one in acknowledged {
            if !seen.insert(one.revision.as_str()) {
                faults.push(format!("{one:?} shares its revision"));
            }
            let is_there = events
                .get(&one.revision)
                .is_some_and(|event| event.kind == one.kind && event.subject == one.subject);
            if !is_there {
                faults.push(format!("{one:?} is not in the feed"));
            }
        }
    }
}

/// Rows and events must be the same, each once.
fn compare<'a>(
    kind: &str,
    rows: impl Iterator<Item = &'a str>,
    events: impl Iterator<Item = &'a str>,
    faults: &mut Vec<String>,
) {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    rows.for_each(|subject| counts.entry(subject).or_default().0 += 1);
    events.for_each(|subject| counts.entry(subject).or_default().1 += 1);
    for (subject, (rows, events)) in counts {
        if (rows, events) != (1, 1) {
            faults.push(format!("{subject}: {rows} rows, {events} events {kind}"));
        }
    }
}

fn get<T: sea_orm::TryGetable>(row: &QueryResult, column: &str) -> T {
    row.try_get("", column).expect("the column is there")
}

fn event_id(row: &QueryResult) -> String {
    let bytes: Vec<u8> = get(row, "event_id");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn subject_of(row: &QueryResult) -> String {
    let part = |column| get::<Option<String>>(row, column).unwrap_or_default();
    subject(&part("workspace_id"), &part("member_id"), &part("token_id"))
}

// Every test that reads a history rests on this: a checker that overlooked something would find everything sound.

fn sound() -> (History, Vec<Acknowledged>) {
    let kinds = [
        ("FEED_STARTED", "//"),
        ("TOKEN_ISSUED", "acme/max/t1"),
        ("TOKEN_ISSUED", "acme/max/t2"),
        ("TOKEN_REVOKED", "acme/max/t1"),
    ];
    let events: Vec<Recorded> = (0..)
        .zip(kinds)
        .map(|(number, (kind, subject))| Recorded {
            number,
            event_id: format!("{number:032x}"),
            at: number,
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            details: String::new(),
        })
        .collect();
    let token = |subject: &str, is_revoked| TokenRow {
        subject: subject.to_owned(),
        is_revoked,
    };
    let acknowledged = Acknowledged {
        revision: events[2].revision(),
        kind: "TOKEN_ISSUED",
        subject: "acme/max/t2".to_owned(),
    };
    let history = History {
        head: (3, events[3].event_id.clone()),
        events,
        tokens: vec![token("acme/max/t1", true), token("acme/max/t2", false)],
    };
    (history, vec![acknowledged])
}

#[test]
fn a_sound_history_has_no_faults() {
    let (history, acknowledged) = sound();
    history.assert_sound(&acknowledged);
}

#[test]
fn whatever_is_wrong_with_a_history_is_found() {
    type Break = fn(&mut History, &mut Vec<Acknowledged>);
    let breaks: [(&str, Break); 11] = [
        ("a gap", |history, _| {
            history.events[3].number = 4;
            history.head.0 = 4;
        }),
        ("a revision twice", |history, _| {
            history.events[2].number = 1
        }),
        ("a missing start", |history, _| {
            drop(history.events.remove(0))
        }),
        ("a head that ran ahead", |history, _| history.head.0 = 4),
        ("a head of another feed", |history, _| {
            history.head.1 = "ff".repeat(16)
        }),
        ("a token without an event", |history, _| {
            let mut token = history.tokens[0].clone();
            token.subject = "acme/max/t3".to_owned();
            history.tokens.push(token);
        }),
        ("an event without its token", |history, _| {
            drop(history.tokens.pop())
        }),
        ("a revocation without an event", |history, _| {
            history.tokens[1].is_revoked = true;
        }),
        ("a revocation that is only an event", |history, _| {
            history.tokens[0].is_revoked = false;
        }),
        (
            "an acknowledged mutation that is another's",
            |_, acknowledged| {
                acknowledged[0].subject = "acme/max/t1".to_owned();
            },
        ),
        ("two acknowledged at one revision", |_, acknowledged| {
            let twice = acknowledged[0].clone();
            acknowledged.push(twice);
        }),
    ];
    for (what, break_it) in breaks {
        let (mut history, mut acknowledged) = sound();
        break_it(&mut history, &mut acknowledged);
        assert_ne!(
            history.faults(&acknowledged).len(),
            0,
            "{what} is overlooked"
        );
    }
}
