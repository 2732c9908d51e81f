//! Memory that has not room for all tokens: how often what is asked for is there, where few tokens are asked for often and
//! many seldom (Zipf's law), beside what it would be if it always held those that are asked for most.

use countersign::domain::{pepper::PepperRing, secret::TokenFormat, time::Clock};

use super::micro::Memory;
use crate::{
    Bench,
    tokens::{self, PEPPER, Random},
};

const SECTION: &str = "eviction";
/// How much less often the next token is asked for than the one before it.
const EXPONENTS: [f64; 2] = [0.9, 1.1];
/// For which share of the tokens there is room.
const SHARES: [f64; 2] = [0.1, 0.5];

pub(crate) fn run(bench: &mut Bench) {
    let stored = bench.pick(5_000, 50_000);
    for exponent in EXPONENTS {
        let zipf = Zipf::new(stored, exponent);
        for share in SHARES {
            measure(bench, (&zipf, exponent), share);
        }
    }
}

fn measure(bench: &mut Bench, (zipf, exponent): (&Zipf, f64), share: f64) {
    let stored = zipf.0.len();
    let room = (stored as f64 * share) as usize;
    let ring = PepperRing::parse(PEPPER).expect("a pepper");
    let clock = Clock::system();
    let tokens = u64::try_from(stored).expect("a small number");
    let memory = Memory::open(bench, &ring, &clock, (tokens, room));
    let format = TokenFormat::default();
    let mut random = Random(1);
    let mut hits = 0_u32;
    // Until it is full and has settled, and then as often again, which counts.
    let calls = 8 * stored;
    for call in 0..2 * calls {
        let text = tokens::text(zipf.next(&mut random));
        let text = str::from_utf8(&text).expect("it is ASCII");
        let secret = format.parse(text).expect("it is a token");
        match memory.recall(&secret, &ring) {
            Some(_) => hits += u32::from(call >= calls),
            None => drop(memory.look_up(&secret, &ring)),
        }
    }
    let ratio = f64::from(hits) / calls as f64;
    let best = zipf.0[room - 1];
    let percent = share * 100.0;
    let what = format!("hits, Zipf {exponent}, room for {percent:.0} % of {stored} tokens");
    let note = format!("{best:.3} with those asked for most");
    bench.report.figure(SECTION, &what, (ratio, ""), &note);
}

/// How probable it is that a token, or one before it, is asked for.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(tokens: u64, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=tokens).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        let mut sums: Vec<f64> = weights.collect();
        let all = sums.last().copied().expect("there are some");
        sums.iter_mut().for_each(|sum| *sum /= all);
        Self(sums)
    }

    fn next(&self, random: &mut Random) -> u64 {
        let share = random.next() as f64 / u64::MAX as f64;
        let rank = self.0.partition_point(|sum| *sum < share);
        u64::try_from(rank.min(self.0.len() - 1)).expect("a small number")
    }
}
