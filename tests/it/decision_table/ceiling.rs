//! The ceiling over the policy files that somebody could write: what is above it is granted by none that is accepted, and
//! the line that tried is named.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::{
    action::Action,
    decide::{Decision, DenyReason, Presented, decide},
    policy::Policy,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::cells::{self, NOW};

/// Types under the ceiling, above it, and ones that merely look like those.
const TYPES: [&str; 8] = [
    "users",
    "tokens",
    "members",
    "bookings",
    "rooms",
    "user",
    "users-groups",
    "memberships",
];
const VERBS: [&str; 8] = [
    "list", "read", "create", "update", "delete", "invite", "issue", "read-all",
];
/// What nobody thought of when they wrote the policy.
const UNTHOUGHT_OF: [&str; 6] = [
    "users.invite",
    "users.read-all",
    "members.create",
    "members.read",
    "tokens.issue",
    "tokens.list",
];

/// The rule in the test's own words: of users only listing and reading, of tokens and members nothing.
fn is_above(action: &str) -> bool {
    let is_of = |resource_type: &str| action.starts_with(&format!("{resource_type}."));
    let reads_users = action == "users.list" || action == "users.read";
    (is_of("users") && !reads_users) || is_of("tokens") || is_of("members")
}

/// How a role's grant is written, of an action that is chosen among the declared.
#[derive(Debug, Clone)]
enum Grant {
    Named(Index),
    /// `type.*`
    AllVerbs(Index),
    /// `*.verb`
    AllTypes(Index),
    /// An action that may not be declared at all.
    Undeclared(&'static str),
}

#[derive(Debug, Clone)]
struct Role {
    own: Vec<Grant>,
    workspace: Vec<Grant>,
    include: Vec<Index>,
}

/// A policy file and what is above the ceiling in it.
#[derive(Debug)]
struct File {
    text: String,
    declared: Vec<String>,
    /// The lines that grant what no token may do, from 1.
    lines_above: BTreeSet<usize>,
}

fn grant() -> impl Strategy<Value = Grant> {
    prop_oneof![
        6 => any::<Index>().prop_map(Grant::Named),
        2 => any::<Index>().prop_map(Grant::AllVerbs),
        1 => any::<Index>().prop_map(Grant::AllTypes),
        1 => proptest::sample::select(&UNTHOUGHT_OF[..]).prop_map(Grant::Undeclared),
    ]
}

fn role() -> impl Strategy<Value = Role> {
    (
        vec(grant(), 0..3),
        vec(grant(), 0..3),
        vec(any::<Index>(), 0..2),
    )
        .prop_map(|(own, workspace, include)| Role {
            own,
            workspace,
            include,
        })
}

fn file() -> impl Strategy<Value = File> {
    let verbs = || proptest::sample::subsequence(&VERBS[..], 1..=VERBS.len());
    let types = proptest::sample::subsequence(&TYPES[..], 1..=TYPES.len());
    let resources = types.prop_flat_map(move |types| {
        let verbs: Vec<_> = types.iter().map(|_| verbs()).collect();
        (Just(types), verbs)
    });
    (resources, vec(role(), 1..4))
        .prop_map(|((types, verbs), roles)| write(&types.into_iter().zip(verbs).collect(), &roles))
}

/// Writes a file, one grant a line, and notes which lines are above the ceiling.
fn write(resources: &BTreeMap<&str, Vec<&str>>, roles: &[Role]) -> File {
    let mut lines = vec!["# a policy".to_owned()];
    let mut declared = Vec::new();
    for (resource_type, verbs) in resources {
        lines.push(format!("[resources.{resource_type}]"));
        lines.push(format!("verbs = {verbs:?}"));
        declared.extend(verbs.iter().map(|verb| format!("{resource_type}.{verb}")));
    }
    let mut lines_above = BTreeSet::new();
    for (number, role) in roles.iter().enumerate() {
        lines.push(format!("[roles.r{number}]"));
        if number > 0 {
            // Of earlier roles only, so that none includes itself.
            let included: BTreeSet<String> = role
                .include
                .iter()
                .map(|index| format!("r{}", index.index(number)))
                .collect();
            lines.push(format!("include = {:?}", Vec::from_iter(included)));
        }
        for (key, grants) in [("own", &role.own), ("workspace", &role.workspace)] {
            lines.push(format!("{key} = ["));
            for grant in grants {
                let (pattern, stands_for) = expand(grant, &declared);
                lines.push(format!("    \"{pattern}\","));
                if stands_for.iter().any(|action| is_above(action)) {
                    lines_above.insert(lines.len());
                }
            }
            lines.push("]".to_owned());
        }
    }
    File {
        text: lines.join("\n"),
        declared,
        lines_above,
    }
}

/// The pattern of a grant and the actions it stands for.
fn expand(grant: &Grant, declared: &[String]) -> (String, Vec<String>) {
    let chosen = |index: &Index| index.get(declared).split_once('.').expect("type and verb");
    match grant {
        Grant::Named(index) => {
            let action = index.get(declared).clone();
            (action.clone(), vec![action])
        }
        Grant::Undeclared(action) => ((*action).to_owned(), vec![(*action).to_owned()]),
        Grant::AllVerbs(index) => {
            let head = format!("{}.", chosen(index).0);
            let matches = declared.iter().filter(|action| action.starts_with(&head));
            (format!("{head}*"), matches.cloned().collect())
        }
        Grant::AllTypes(index) => {
            let tail = format!(".{}", chosen(index).1);
            let matches = declared.iter().filter(|action| action.ends_with(&tail));
            (format!("*{tail}"), matches.cloned().collect())
        }
    }
}

/// A good token of this role asks for its own bearer's: what nothing but the ceiling or the role refuses.
fn decision(policy: &Policy, role: &str, action: &Action) -> Decision {
    let cell = cells::all().next().expect("there are cells");
    let (mut presented, mut ask) = (cell.presented(), cell.ask());
    if let Presented::Known(bearer) = &mut presented {
        let role = countersign::domain::ids::RoleName::parse(role).expect("a role");
        std::sync::Arc::make_mut(&mut bearer.member).role = role;
    }
    ask.action = action.clone();
    decide(policy, &presented, &ask, NOW)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_accepted_policy_reaches_above_the_ceiling_and_the_line_that_tries_is_named(file in file()) {
        match Policy::parse(&file.text) {
            Err(faults) => {
                let lines: BTreeSet<usize> = faults.iter().map(|fault| fault.line).collect();
                prop_assert_eq!(&lines, &file.lines_above, "{}\n{:?}", file.text, faults);
                for fault in &faults {
                    prop_assert!(fault.message.contains("above what any token may do"), "{}", fault);
                }
            }
            Ok(policy) => {
                prop_assert!(file.lines_above.is_empty(), "{}", file.text);
                let combined = TYPES
                    .iter()
                    .flat_map(|resource_type| VERBS.iter().map(move |verb| format!("{resource_type}.{verb}")));
                let actions = combined.chain(UNTHOUGHT_OF.iter().map(|action| (*action).to_owned()));
                for action in actions.chain(file.declared) {
                    let parsed = Action::parse(&action).expect("an action");
                    for role in policy.roles() {
                        let decision = decision(&policy, role, &parsed);
                        let is_ceiling = decision == Decision::Deny(DenyReason::AboveTokenCeiling);
                        prop_assert_eq!(is_ceiling, is_above(&action), "{} {}", role, action);
                        if is_above(&action) {
                            prop_assert_eq!(policy.rule(role, &parsed), None);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn verbs_nobody_thought_of_are_above_the_ceiling_for_every_role_of_the_default_policy() {
    let policy = Policy::embedded().expect("the default policy is good");
    for role in policy.roles().chain(["ghost"]) {
        for action in UNTHOUGHT_OF {
            let action = Action::parse(action).expect("an action");
            let denied = Decision::Deny(DenyReason::AboveTokenCeiling);
            assert_eq!(decision(&policy, role, &action), denied, "{role} {action}");
        }
    }
}

#[test]
fn the_generated_files_are_of_both_kinds_and_some_grant_something() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let (mut refused, mut granting) = (0, 0);
    for _ in 0..200 {
        let file = file().new_tree(&mut runner).expect("a file").current();
        match Policy::parse(&file.text) {
            Err(_) => refused += 1,
            Ok(policy) => {
                let grants = |role: &str, action: &String| {
                    let action = Action::parse(action).expect("an action");
                    policy.rule(role, &action).is_some()
                };
                granting += usize::from(
                    policy
                        .roles()
                        .any(|role| file.declared.iter().any(|action| grants(role, action))),
                );
            }
        }
    }
    assert!(
        refused >= 20 && granting >= 20,
        "{refused} refused, {granting} granting"
    );
}
