//! Benchmarks as ratios: every contender is timed in turn, round after round, in one run, and each
//! median is shown against the first contender's, the floor. A slow or busy machine slows all of
//! them alike, so the ratios hold where seconds do not. Nothing here fails on a time.

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
    for row in &mut times {
        row.sort();
    }
    let medians: Vec<Duration> = times.iter().map(|row| row[row.len() / 2]).collect();
    println!("\n{title} ({rounds} rounds, interleaved)");
    println!("  {:34} {:>10} {:>10} {:>10} {:>8}", "", "min", "median", "max", "ratio");
    for (index, (name, _)) in contenders.iter().enumerate() {
        let row = &times[index];
        let ratio = medians[index].as_secs_f64() / medians[0].as_secs_f64();
        println!(
            "  {name:34} {:>10} {:>10} {:>10} {ratio:>8.3}",
            show(row[0]),
            show(medians[index]),
            show(row[row.len() - 1]),
        );
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
