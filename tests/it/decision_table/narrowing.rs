//! Scopes over the whole table: with any of them a token does what it does without, or less, and exactly what they name.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use countersign::domain::{
    decide::{Ask, Decision, DenyReason, Presented, decide},
    policy::Policy,
    scope::{MAX_SCOPES, Scope},
    token::{Extras, Limits},
};
use proptest::{collection::vec, prelude::*};

use super::cells::{self, Cell, DIMENSIONS, NOW};

/// Every pattern there is over the actions of the table, and some that match none.
fn patterns() -> Vec<String> {
    let actions = DIMENSIONS
        .iter()
        .find(|dimension| dimension.name == "action");
    let mut patterns = vec![
        "rooms.*".to_owned(),
        "*.rent".to_owned(),
        "rooms.rent".to_owned(),
    ];
    for action in actions.expect("the dimension").values {
        let (resource_type, verb) = action.split_once('.').expect("two words");
        patterns.push((*action).to_owned());
        patterns.push(format!("{resource_type}.*"));
        patterns.push(format!("*.{verb}"));
    }
    patterns.sort();
    patterns.dedup();
    patterns
}

/// The rule in the test's own words.
fn names(pattern: &str, action: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(resource_type), _) => action.starts_with(resource_type),
        (_, Some(verb)) => action.ends_with(verb),
        _ => pattern == action,
    }
}

/// What is presented in this cell, with these scopes.
fn scoped(cell: &Cell, patterns: &[String]) -> Presented {
    let Presented::Known(mut bearer) = cell.presented() else {
        panic!("{cell}: no token is presented");
    };
    let scopes = patterns.iter().map(|pattern| Scope::parse(pattern));
    let limits = Limits {
        scopes: scopes.collect::<Result<_, _>>().expect("scopes"),
        allowed_cidrs: Vec::new(),
    };
    Arc::make_mut(&mut bearer.token).extras = Extras::from(limits).boxed();
    Presented::Known(bearer)
}

/// Each cell in which a plain token is good, and what is asked for in it.
static GOOD_AND_PLAIN: LazyLock<Vec<(Cell, Ask)>> = LazyLock::new(|| {
    let wanted = [
        ("token", "live"),
        ("workspace_state", "active"),
        ("member_state", "active"),
        ("address", "any"),
        ("scopes", "all"),
    ];
    let is_wanted = |cell: &Cell| {
        wanted
            .iter()
            .all(|(name, value)| cell.value(name) == *value)
    };
    let cells = cells::all().filter(is_wanted);
    cells.map(|cell| (cell, cell.ask())).collect()
});

/// What must come out, given what does without scopes.
fn expected(plain: Decision, action: &str, patterns: &[String]) -> Decision {
    match plain {
        Decision::Deny(reason) if reason < DenyReason::OutOfScope => plain,
        _ if patterns.iter().any(|pattern| names(pattern, action)) => plain,
        _ => Decision::Deny(DenyReason::OutOfScope),
    }
}

fn check(policy: &Policy, patterns: &[String]) {
    // Of what is presented only the role differs.
    let mut presented = BTreeMap::new();
    for (cell, ask) in &*GOOD_AND_PLAIN {
        let role = cell.value("role");
        let [plain, narrowed] = presented
            .entry(role)
            .or_insert_with(|| [cell.presented(), scoped(cell, patterns)]);
        let plain = decide(policy, plain, ask, NOW);
        let narrowed = decide(policy, narrowed, ask, NOW);
        let expected = expected(plain, cell.value("action"), patterns);
        assert_eq!(narrowed, expected, "{patterns:?} {cell}");
        assert!(!matches!(narrowed, Decision::Allow(_)) || narrowed == plain);
    }
}

#[test]
fn a_scope_narrows_to_what_it_names_and_widens_nothing() {
    let policy = Policy::embedded().expect("the default policy is good");
    let patterns = patterns();
    assert!(patterns.len() > 50, "{} patterns", patterns.len());
    for pattern in patterns {
        check(&policy, &[pattern]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn so_do_many_at_once(
        patterns in vec(proptest::sample::select(patterns()), 1..=MAX_SCOPES),
    ) {
        let policy = Policy::embedded().expect("the default policy is good");
        check(&policy, &patterns);
    }
}
