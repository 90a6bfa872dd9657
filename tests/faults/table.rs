//! The table of what was tried.

use super::trial::{Plan, Tried};

pub fn print(rows: &[Tried], plan: &Plan) {
    let form = if plan.long { "long form" } else { "short form; `make faults` does more" };
    println!("\nfaults tried ({form})\n");
    println!("{:22} {:>7} {:>10}  outcomes", "fault", "tried", "violations");
    for row in rows {
        let outcomes: Vec<String> = match &row.skipped {
            Some(why) => vec![format!("not tried: {why}")],
            None => row.outcomes.iter().map(|(what, n)| format!("{what} {n}")).collect(),
        };
        let violations = row.violations.len();
        let outcomes = outcomes.join(", ");
        println!("{:22} {:>7} {:>10}  {outcomes}", row.fault.name, row.tried, violations);
        println!("{:22}                     {}, {:.0} s", "", row.fault.what, row.seconds);
    }
    let violations: usize = rows.iter().map(|row| row.violations.len()).sum();
    println!("\n{violations} violations");
    for row in rows {
        for (seed, what) in &row.violations {
            println!("\n{}: {what}", row.fault.name);
            println!("  again: FAULTS_ONLY={} FAULTS_SEED={seed} make faults", row.fault.name);
        }
    }
}
