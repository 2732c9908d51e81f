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

use std::{collections::BTreeMap, fmt::Write as _};

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
    random::{FIRST_SEED, Random, SEEDS, seeds},
    server::TestServer,
};

const DEFAULT_SEEDS: u64 = 3;
/// Of one history.
const STEPS: usize = 500;
/// In so many histories every flaw of the model has shown itself.
const SEEDS_FOR_FLAWS: u64 = 200;
/// How many of the last steps are told where something is wrong.
const TOLD: usize = 400;

async fn service_and_model_answer_alike(database: TestDatabase) {
    let server = TestServer::start(&database).await;
    let mut events: BTreeMap<&'static str, usize> = BTreeMap::new();
    let (mut steps, mut refused) = (0, 0);
    for seed in seeds(DEFAULT_SEEDS) {
        let history = Play::play(&server, seed).await;
        steps += history.told.len();
        refused += history.refused;
        for (kind, count) in history.model.events {
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

/// A history under way.
struct Play {
    seed: u64,
    service: Service,
    model: Model,
    /// Each step with what is expected of it.
    told: Vec<String>,
    refused: usize,
}

impl Play {
    /// A whole one. Fails at the first answer in which service and model differ.
    async fn play(server: &TestServer, seed: u64) -> Self {
        let mut play = Self {
            seed,
            service: Service::new(server, seed),
            model: Model::new(server.clock().now().0, None),
            told: Vec::new(),
            refused: 0,
        };
        let mut chooser = Chooser::new(Random::with_seed(seed));
        for _ in 0..STEPS {
            let step = chooser.choose(&play.model);
            play.take(&step).await;
        }
        for step in last_looks(&play.model) {
            play.take(&step).await;
        }
        play
    }

    async fn take(&mut self, step: &Step) {
        let expected = self.model.take(step);
        let told = format!("{} {step:?}\n    {expected:?}", self.model.now);
        self.told.push(told);
        let answer = self.service.take(step).await;
        self.refused += usize::from(matches!(answer, Answer::Refused(..)));
        assert!(
            answer == expected,
            "{}",
            tell(self.seed, &self.told, &answer)
        );
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
