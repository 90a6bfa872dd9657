//! Benchmarks as ratios: every contender is timed in turn, round after round, in one run, and each
//! median is shown against the first contender's, the floor. A slow or busy machine slows all of
//! them alike, so the ratios hold where seconds do not. Nothing here fails on a time.

#![allow(dead_code)] // Each benchmark uses what it needs of it.

use std::time::{Duration, Instant};

/// One way of doing the work: its name and the work.
pub type Contender<'a> = (&'a str, &'a mut dyn FnMut());

/// Times `contenders` in turn for `rounds` rounds (after one unmeasured round) and prints, for
/// each, minimum, median, maximum and the ratio of its median to the first contender's.
/// Gives the medians back in the same order.
pub fn compare(title: &str, rounds: usize, contenders: &mut [Contender<'_>]) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..=rounds {
        for (index, (_, work)) in contenders.iter_mut().enumerate() {
            let start = Instant::now();
            work();
            if round > 0 {
                times[index].push(start.elapsed());
            }
        }
    }
    let rows = contenders.iter().map(|(name, _)| *name).zip(times).collect();
    table(&format!("{title} ({rounds} rounds, interleaved)"), rows)
}

/// Prints, for each row of times, minimum, median, maximum and the ratio of its median to the first
/// row's. Gives the medians back in the same order.
pub fn table(title: &str, mut rows: Vec<(&str, Vec<Duration>)>) -> Vec<Duration> {
    println!("\n{title}");
    println!("  {:42} {:>10} {:>10} {:>10} {:>8}", "", "min", "median", "max", "ratio");
    let mut medians: Vec<Duration> = Vec::new();
    for (name, times) in &mut rows {
        times.sort();
        let median = times[times.len() / 2];
        let floor = medians.first().unwrap_or(&median).as_secs_f64();
        println!(
            "  {name:42} {:>10} {:>10} {:>10} {:>8.3}",
            show(times[0]),
            show(median),
            show(times[times.len() - 1]),
            median.as_secs_f64() / floor,
        );
        medians.push(median);
    }
    medians
}

fn show(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    if us < 1e3 {
        format!("{us:.1} us")
    } else if us < 1e6 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}
