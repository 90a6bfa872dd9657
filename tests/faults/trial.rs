//! One trial of a fault, and the order in which they are tried.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How many faults are tried at a time: they wait most of their time.
const LANES: usize = 3;

/// How often the worker is killed at least in the long form.
pub const KILLS_MIN: u64 = 500;

/// A fault that can be made to happen.
#[derive(Clone)]
pub struct Fault {
    /// A word for it, for `FAULTS_ONLY`.
    pub name: &'static str,
    /// What befalls the worker.
    pub what: &'static str,
    /// Its share of the time, against the others'; 0 for once only.
    pub share: u32,
    /// Too slow for the short form.
    pub long_only: bool,
    /// Why it cannot be tried on this machine, if it cannot.
    pub hindrance: fn() -> Option<String>,
    /// Makes it happen, and panics if anything does not agree afterwards.
    pub run: fn(&mut Trial),
}

impl Fault {
    pub const fn new(name: &'static str, what: &'static str, run: fn(&mut Trial)) -> Self {
        Self { name, what, share: 1, long_only: false, hindrance: || None, run }
    }

    pub const fn share(self, share: u32) -> Self {
        Self { share, ..self }
    }

    pub const fn long_only(self) -> Self {
        Self { long_only: true, ..self }
    }

    pub const fn unless(self, hindrance: fn() -> Option<String>) -> Self {
        Self { hindrance, ..self }
    }
}

/// What is known within a trial.
pub struct Trial {
    pub random: Random,
    /// Whether there is time for the long form.
    pub long: bool,
    /// How many minutes all of it may take.
    pub minutes: f64,
    /// How often the fault was made to happen.
    tried: u64,
    outcomes: BTreeMap<String, u64>,
}

impl Trial {
    /// The fault happened, and this became of it.
    pub fn came(&mut self, outcome: impl Into<String>) {
        self.tried += 1;
        *self.outcomes.entry(outcome.into()).or_default() += 1;
    }

    /// Something worth a word in the table.
    pub fn note(&mut self, outcome: impl Into<String>, count: u64) {
        *self.outcomes.entry(outcome.into()).or_default() += count;
    }

    /// The fault happened so many times.
    pub fn tried(&mut self, times: u64) {
        self.tried += times;
    }
}

/// A generator that gives the same again for the same seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Waits a random time below `milliseconds`: the moment of a fault is part of the fault.
    pub fn wait_below(&mut self, milliseconds: u64) {
        std::thread::sleep(Duration::from_micros(self.below(milliseconds * 1000)));
    }
}

/// How long, what, and from which seed.
pub struct Plan {
    pub long: bool,
    pub minutes: f64,
    pub only: Option<String>,
    /// Exactly this one again.
    pub seed: Option<u64>,
    base: u64,
}

impl Plan {
    pub fn from_environment() -> Self {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let minutes = get("FAULTS_MINUTES").map(|m| m.parse().expect("FAULTS_MINUTES: a number"));
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            long: minutes.is_some(),
            minutes: minutes.unwrap_or(1.2),
            only: get("FAULTS_ONLY"),
            seed: get("FAULTS_SEED").map(|s| s.parse().expect("FAULTS_SEED: a whole number")),
            base: since.map_or(1, |since| since.as_nanos() as u64),
        }
    }

    fn wants(&self, fault: &Fault) -> bool {
        match &self.only {
            Some(only) => only.split(',').any(|name| name == fault.name),
            None => self.long || !fault.long_only,
        }
    }
}

/// What became of a fault's trials.
#[derive(Clone)]
pub struct Tried {
    pub fault: Fault,
    pub skipped: Option<String>,
    pub trials: u64,
    pub tried: u64,
    pub seconds: f64,
    pub outcomes: BTreeMap<String, u64>,
    /// The seed of each, and what was found.
    pub violations: Vec<(u64, String)>,
    running: u32,
}

thread_local! {
    /// What the panic of this thread's trial said.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Tries every fault once, then goes on with those that had the least time for their share, until
/// the time is over.
pub fn try_all(faults: &[Fault], plan: &Plan) -> Vec<Tried> {
    std::panic::set_hook(Box::new(|info| {
        SAID.with_borrow_mut(|said| *said = info.to_string());
    }));
    let wanted = faults.iter().filter(|fault| plan.wants(fault)).map(|fault| Tried {
        skipped: (fault.hindrance)(),
        fault: fault.clone(),
        trials: 0,
        tried: 0,
        seconds: 0.0,
        outcomes: BTreeMap::new(),
        violations: Vec::new(),
        running: 0,
    });
    let rows: Mutex<Vec<Tried>> = Mutex::new(wanted.collect());
    let deadline = Instant::now() + Duration::from_secs_f64(plan.minutes * 60.0);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some((index, fault, seed)) = next(&rows, plan, deadline) {
                    try_one(&rows, index, &fault, seed, plan);
                }
            });
        }
    });
    rows.into_inner().expect("no lane panics with the rows in its hand")
}

fn next(rows: &Mutex<Vec<Tried>>, plan: &Plan, deadline: Instant) -> Option<(usize, Fault, u64)> {
    let mut rows = rows.lock().expect("as above");
    let over = Instant::now() > deadline;
    let begun = |row: &Tried| row.trials + u64::from(row.running);
    let kills: u64 =
        rows.iter().filter(|r| r.fault.name.starts_with("kill")).map(|r| r.tried).sum();
    let still_to_kill = plan.long && plan.only.is_none() && kills < KILLS_MIN;
    let index = (0..rows.len())
        .filter(|&index| {
            let row = &rows[index];
            let first = begun(row) == 0;
            let again = row.fault.share > 0 && plan.seed.is_none();
            let late = still_to_kill && row.fault.name.starts_with("kill");
            row.skipped.is_none() && (first || (again && (!over || late)))
        })
        .min_by(|&a, &b| {
            // Whoever was never tried comes first, in the table's order.
            let rank = |index: usize| {
                let row = &rows[index];
                let spent = row.seconds + f64::from(row.running) * 5.0;
                (begun(row) > 0, spent / f64::from(row.fault.share.max(1)))
            };
            rank(a).partial_cmp(&rank(b)).expect("times are finite")
        })?;
    let row = &mut rows[index];
    let count = begun(row);
    row.running += 1;
    let mixed = Random(plan.base ^ (index as u64) << 40 ^ count).next() >> 16;
    Some((index, row.fault.clone(), plan.seed.unwrap_or(mixed)))
}

fn try_one(rows: &Mutex<Vec<Tried>>, index: usize, fault: &Fault, seed: u64, plan: &Plan) {
    let mut trial = Trial {
        random: Random(seed),
        long: plan.long,
        minutes: plan.minutes,
        tried: 0,
        outcomes: BTreeMap::new(),
    };
    let begin = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (fault.run)(&mut trial)));
    let mut rows = rows.lock().expect("as above");
    let row = &mut rows[index];
    row.running -= 1;
    row.trials += 1;
    row.tried += trial.tried;
    row.seconds += begin.elapsed().as_secs_f64();
    for (outcome, count) in trial.outcomes {
        *row.outcomes.entry(outcome).or_default() += count;
    }
    if outcome.is_err() {
        let said = SAID.with_borrow(Clone::clone);
        eprintln!("VIOLATION in {} (seed {seed}): {said}", fault.name);
        row.violations.push((seed, said));
    }
}
