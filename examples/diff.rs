use frigate_replay::frigate::{Env, FrigateConfig};
use serde_json::Value;
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}
fn main() {
    let (mut n, mut bad, mut most) = (0, 0, std::time::Duration::ZERO);
    for path in std::env::args().skip(1) {
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let yaml = case["yaml"].as_str().unwrap();
            let start = std::time::Instant::now();
            let ours = FrigateConfig::parse(yaml)
                .map_err(|e| vec![e.to_string()])
                .and_then(|c| {
                    c.replay_camera(&Env::default(), "front", "/clip.mp4", None)
                        .map_err(|e| e.lines())
                });
            most = most.max(start.elapsed());
            n += 1;
            let fine = match (&ours, case.get("ok")) {
                (Ok(ours), Some(theirs)) => same(&ours.camera_config, theirs),
                (Err(_), None) => true,
                _ => false,
            };
            if !fine {
                bad += 1;
                if bad <= 12 {
                    println!(
                        "=====\n{yaml}--- theirs: {}",
                        case.get("err").cloned().unwrap_or(Value::Null)
                    );
                    match (&ours, case.get("ok")) {
                        (Ok(o), Some(t)) => {
                            for (k, v) in o.camera_config.as_object().unwrap() {
                                if !same(v, &t[k]) {
                                    println!("{k}\n ours   {v}\n theirs {}", t[k]);
                                }
                            }
                        }
                        (Ok(o), None) => println!(
                            "ours accepted {:?}",
                            o.warnings.iter().map(|w| w.to_string()).collect::<Vec<_>>()
                        ),
                        (Err(l), _) => println!("ours refused {l:?}"),
                    }
                }
            }
        }
    }
    println!("{n} cases, {bad} differ, slowest {most:?}");
}
