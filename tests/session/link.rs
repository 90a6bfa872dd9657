//! The replay camera in the running Frigate: scenarios.

use frigate_replay::session::CHANGE_GAP_S;
use frigate_replay::wire::messages::{FrigateWay, JobStatus, LinkState, Phase};

use super::frigate::Frigate;
use super::{Order, START, World, camera, policy};

fn beside(way: FrigateWay) -> World {
    World::beside(Some(Frigate::new(way)))
}

fn frigate(world: &mut World) -> &mut Frigate {
    world.frigate.as_mut().unwrap()
}

fn job_state(world: &World) -> &str {
    &world.broker[&policy().topics.job_state()]
}

const BOTH: [FrigateWay; 2] = [FrigateWay::AddAndRemove, FrigateWay::SwitchOffAndDelete];

#[test]
fn a_replay_is_live_once_frigate_shows_a_picture_of_it() {
    for way in BOTH {
        let mut world = beside(way);
        frigate(&mut world).dark = true;
        // Looked up, the clip, the config, the add.
        let began = world.now;
        world.run(&[START]).unwrap();
        while !world.frigate.as_ref().unwrap().cameras.contains_key(&camera("front").replay()) {
            world.run(&[Order::Go]).unwrap();
        }
        assert_eq!(world.session().phase, Some(Phase::StartingCamera));
        world.run(&[Order::Go, Order::Go]).unwrap();
        assert_eq!(world.session().link, Some(LinkState::Adding));
        assert_eq!(world.session().live_ready, Some(false));
        frigate(&mut world).dark = false;
        world.run(&[Order::Settle]).unwrap();
        assert_eq!(world.session().live_ready, Some(true));
        assert_eq!(world.session().link, Some(LinkState::Added));
        assert!(world.now - began < 2.0, "{}", world.now - began);
        world.calm();
        world.run(&[Order::Stop, Order::Settle]).unwrap();
        assert!(world.broker.keys().any(|topic| topic.ends_with("/remove")));
        world.calm();
    }
}

#[test]
fn a_stop_right_after_a_start_waits_visibly_and_does_not_fail() {
    for way in BOTH {
        let mut world = beside(way);
        world.run(&[START, Order::Settle]).unwrap();
        let began = world.now;
        world.run(&[Order::Stop]).unwrap();
        assert_eq!(world.session().phase, Some(Phase::Stopping));
        assert_eq!(world.session().link, Some(LinkState::TakingOut));
        world.run(&[Order::Settle]).unwrap();
        assert!(!world.session().active);
        assert!(world.now - began >= CHANGE_GAP_S);
        assert!(job_state(&world).contains(r#""id":"stopped""#));
        world.calm();
    }
}

#[test]
fn the_time_between_two_changes_holds_across_a_kill_and_a_late_answer() {
    for way in BOTH {
        for late_s in [None, Some(0), Some(4), Some(10)] {
            let mut world = beside(way);
            world.run(&[START, Order::FrigateLate(late_s)]).unwrap();
            for _ in 0..8 {
                world.run(&[Order::Go]).unwrap();
            }
            world
                .run(&[Order::Kill, Order::FrigateLate(None), Order::Settle, Order::Stop])
                .unwrap();
            world.calm();
        }
    }
}

#[test]
fn a_replay_that_frigate_refuses_has_failed_in_frigates_words() {
    let mut world = beside(FrigateWay::AddAndRemove);
    frigate(&mut world).refuses = true;
    world.run(&[START, Order::Settle]).unwrap();
    assert!(job_state(&world).contains("HTTP 400: no"), "{}", job_state(&world));
    assert_eq!(world.state.record.history.jobs()[0].status, JobStatus::Failed);
    world.calm();
}

#[test]
fn what_keeps_a_replay_from_frigate_ends_it_and_says_so() {
    type Obstacle = (FrigateWay, fn(&mut Frigate), &'static str);
    let obstacles: [Obstacle; 4] = [
        (FrigateWay::AddAndRemove, |frigate| frigate.down = true, "connection refused"),
        (FrigateWay::AddAndRemove, |frigate| frigate.dark = true, "shows no picture"),
        (FrigateWay::AddAndRemove, |frigate| frigate.own_replay = true, "Frigate's own"),
        (FrigateWay::SwitchOffAndDelete, |frigate| frigate.others = 1, "single camera"),
    ];
    for (way, obstacle, words) in obstacles {
        let mut world = beside(way);
        obstacle(frigate(&mut world));
        world.run(&[START, Order::Settle]).unwrap();
        assert!(job_state(&world).contains(words), "{}", job_state(&world));
        assert!(job_state(&world).contains("failed"));
        world.calm();
    }
}

#[test]
fn a_stop_does_not_wait_for_a_frigate_that_is_down_and_takes_the_camera_out_later() {
    for way in BOTH {
        let mut world = beside(way);
        world.run(&[START, Order::Settle, Order::FrigateDown(true), Order::Stop]).unwrap();
        let began = world.now;
        while world.session().active {
            match world.under_way.is_empty() {
                true => {
                    let at = world.state.wake_at().unwrap();
                    let seconds = at.since(world.time()).max(0.0);
                    world.pass_time(seconds);
                    world.happen(frigate_replay::session::Event::Wake).unwrap();
                }
                false => world.run(&[Order::Go]).unwrap(),
            }
        }
        assert!(world.now - began < 35.0);
        assert!(!frigate(&mut world).cameras.is_empty());
        world.calm();
    }
}

#[test]
fn cameras_that_nobody_remembers_are_taken_out() {
    for way in BOTH {
        let mut world = beside(way);
        let stale = [Order::StaleInFrigate("old"), Order::StaleInFrigate("older"), Order::Kill];
        world.run(&stale).unwrap();
        world.calm();
        // Also one of the very name that is about to be added.
        world.run(&[Order::StaleInFrigate("front"), START, Order::Settle]).unwrap();
        assert_eq!(world.session().live_ready, Some(true));
        world.calm();
    }
}

#[test]
fn a_frigate_that_lost_the_camera_is_given_it_again() {
    let mut world = beside(FrigateWay::AddAndRemove);
    world.run(&[START, Order::Settle, Order::Wait(60)]).unwrap();
    frigate(&mut world).cameras.clear();
    world.run(&[Order::Settle, Order::Wait(60), Order::Settle]).unwrap();
    assert_eq!(world.session().link, Some(LinkState::Added));
    world.calm();
}

#[test]
fn stale_cameras_stay_while_a_replay_of_frigates_own_runs() {
    let mut world = beside(FrigateWay::AddAndRemove);
    frigate(&mut world).own_replay = true;
    world.run(&[Order::StaleInFrigate("old"), Order::Kill, Order::Settle]).unwrap();
    assert_eq!(frigate(&mut world).cameras.len(), 1);
    frigate(&mut world).own_replay = false;
    world.calm();
}

#[test]
fn an_older_frigate_is_left_alone() {
    let mut world = beside(FrigateWay::PublishOnly);
    world.run(&[START, Order::Settle]).unwrap();
    assert_eq!(world.session().live_ready, Some(true));
    assert_eq!(world.session().link, Some(LinkState::Off));
    world.calm();
}
