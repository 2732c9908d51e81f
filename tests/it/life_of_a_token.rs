//! The whole life of tokens: histories of everything that can be asked, made up by chance, in which the service answers as a
//! small model that was written from the contract, on both databases and under a clock that stands wherever it matters.
//!
//! `COUNTERSIGN_TEST_SEEDS=200` makes so many histories instead of a few, from the seed `COUNTERSIGN_TEST_FIRST_SEED` on.

mod choose;
mod decide;
mod directory;
mod flaws;
mod model;
mod read;
mod requests;
mod service;
mod steps;
mod tokens;

use std::{collections::BTreeMap, env, fmt::Write as _};

use self::{
    choose::Chooser,
    flaws::FLAWS,
    model::Model,
    service::Service,
    steps::{Answer, Ask, Context, List, Owner, PLATFORM, Secret, Step},
};
use crate::support::{
    database::{TestDatabase, on_both},
    history::History,
    random::Random,
    server::TestServer,
};

const SEEDS: &str = "COUNTERSIGN_TEST_SEEDS";
const FIRST_SEED: &str = "COUNTERSIGN_TEST_FIRST_SEED";
const DEFAULT_SEEDS: u64 = 3;
/// Of one history.
const STEPS: usize = 500;
/// In so many histories every flaw of the model has shown itself.
const SEEDS_FOR_FLAWS: u64 = 200;
/// How many of the last steps are told where something is wrong.
const TOLD: usize = 400;

fn number(name: &str, default: u64) -> u64 {
    let given = env::var(name).ok();
    given.map_or(default, |given| given.parse().expect("a number"))
}

async fn service_and_model_answer_alike(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let mut events: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut steps, mut refused) = (0, 0);
    let first = number(FIRST_SEED, 0);
    for seed in first..first + number(SEEDS, DEFAULT_SEEDS) {
        let history = play(&server, seed).await;
        steps += history.steps;
        refused += history.refused;
        for (kind, count) in history.events {
            *events.entry(kind).or_default() += count;
        }
    }
    println!("{steps} steps, {refused} of them refused; {events:?}");
    let recorded = History::read(&database).await;
    recorded.assert_sound(&[]);
    for (kind, count) in events {
        assert_eq!(recorded.count(kind), count, "{kind}");
    }
}

/// What a history came to.
struct Played {
    steps: usize,
    refused: usize,
    events: BTreeMap<&'static str, usize>,
}

/// One history. Fails at the first answer in which they differ.
async fn play(server: &TestServer, seed: u64) -> Played {
    let mut service = Service::new(server, seed);
    let mut model = Model::new(server.clock().now().0, None);
    let mut chooser = Chooser::new(Random::with_seed(seed));
    let mut told: Vec<String> = Vec::new();
    let (mut steps, mut refused) = (0, 0);
    let mut last = Vec::new();
    loop {
        let step = match steps {
            0..STEPS => chooser.choose(&model),
            STEPS => {
                last = last_looks(&model);
                last.reverse();
                last.pop().expect("there is a workspace")
            }
            _ => match last.pop() {
                Some(step) => step,
                None => break,
            },
        };
        steps += 1;
        let expected = model.take(&step);
        let answer = service.take(&step).await;
        refused += usize::from(matches!(answer, Answer::Refused(..)));
        told.push(format!("{} {step:?}\n    {expected:?}", model.now));
        assert!(answer == expected, "{}", tell(seed, &told, &answer));
    }
    Played {
        steps,
        refused,
        events: model.events,
    }
}

/// What shows at the end how things stand.
fn last_looks(model: &Model) -> Vec<Step> {
    let mut steps: Vec<Step> = model
        .workspaces
        .keys()
        .map(|n| Step::GetWorkspace(*n))
        .collect();
    steps.extend(model.members.keys().map(|key| Step::GetMember(*key)));
    let everything = |workspace: &usize| {
        let list = List {
            workspace: *workspace,
            member: None,
            states: Vec::new(),
            expires_before: None,
        };
        Step::ListTokens(PLATFORM, list)
    };
    steps.extend(model.workspaces.keys().map(everything));
    let ask = Ask {
        action: "bookings.read",
        workspace: None,
        owner: Owner::Bearer,
    };
    let decide = |number| Step::Authorize(Secret::Of(number), ask, Context::default());
    steps.extend((0..model.tokens.len()).map(decide));
    steps
}

fn tell(seed: u64, told: &[String], answer: &Answer) -> String {
    let mut text = format!("{FIRST_SEED}={seed} {SEEDS}=1\n");
    for step in &told[told.len().saturating_sub(TOLD)..] {
        writeln!(text, "{step}").expect("it is written");
    }
    writeln!(text, "and the service answered\n    {answer:?}").expect("it is written");
    text
}

on_both![service_and_model_answer_alike];

/// What the steps would not bring to light in the model they would not in the service.
#[test]
fn every_flaw_comes_to_light() {
    for flaw in FLAWS {
        let found = (0..SEEDS_FOR_FLAWS).find(|seed| {
            let mut sound = Model::new(0, None);
            let mut flawed = Model::new(0, Some(flaw));
            let mut chooser = Chooser::new(Random::with_seed(*seed));
            (0..STEPS).any(|_| {
                let step: Step = chooser.choose(&sound);
                sound.take(&step) != flawed.take(&step)
            })
        });
        println!("{flaw:?}: in history {found:?}");
        assert!(found.is_some(), "{flaw:?} stays in the dark");
    }
}
