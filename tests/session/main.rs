//! A virtual world around the session, and what must hold in it.
//!
//! The world has a disk that keeps the saved record, a broker that keeps retained topics, traces
//! (clips, files, rows) of replay cameras, a job, and perhaps a running Frigate. It carries out steps as the worker does: save,
//! publish, act, one small act at a time, and can be cut off after any of them. Whatever happens,
//! once it is started again and nothing more comes, everything must agree.

mod frigate;
mod link;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use serde_json::{Value, json};

use frigate_replay::outbox::Outbox;
use frigate_replay::session::*;
use frigate_replay::store::VALUE_MAX_BYTES;
use frigate_replay::wire::form::{Control, FormChange};
use frigate_replay::wire::messages::{
    FrigateWay, JobStatus, ResponseStatus, SessionMessage, SettingsSource,
};
use frigate_replay::wire::requests::{Code, Refusal, Request, Span, Transaction, Verb};
use frigate_replay::wire::topics::{Inbound, Topics, Update};
use frigate_replay::words::{CameraName, JobId, ReplayCamera, TimeRange, UnixTime};

use frigate::Frigate;

/// What the world is told to do from outside.
#[derive(Clone, Debug)]
enum Order {
    Start {
        camera: &'static str,
        transaction: Option<u32>,
    },
    Export,
    Stop,
    /// The form is operated.
    Form(FormChange),
    /// Home Assistant starts and is given its device again.
    HomeAssistant,
    /// What is under way in the world goes on by one piece.
    Go,
    /// Everything that is under way comes to its end.
    Settle,
    /// The clip cannot be made.
    FailJob,
    /// So many seconds pass, and the watchdog looks.
    Wait(u32),
    /// The clip of a live session is removed by somebody.
    LoseClip,
    /// The broker forgets all retained topics, and the worker connects again.
    ForgetfulBroker,
    /// The broker comes back with an older store: as it was after so many of a hundred publishes.
    OldBroker(usize),
    Reconnect,
    /// The running Frigate stops to answer, or answers again.
    FrigateDown(bool),
    /// The running Frigate does what it is told so many seconds later, without an answer; or at once.
    FrigateLate(Option<u32>),
    /// Somebody puts a replay camera into the running Frigate that nobody remembers; not in the very
    /// moment between a look of the worker's and its deed.
    StaleInFrigate(&'static str),
    /// The worker is killed and started again.
    Kill,
}

/// Raised when the world is cut off.
#[derive(Debug)]
struct Cut;

struct World {
    now: f64,
    saved: BTreeMap<String, Vec<u8>>,
    saved_topics: BTreeSet<String>,
    broker: BTreeMap<String, String>,
    /// What the broker retained after each publish.
    past: Vec<BTreeMap<String, String>>,
    traces: BTreeSet<ReplayCamera>,
    frigate: Option<Frigate>,
    /// Ids of the jobs that run.
    job: Option<JobOrder>,
    replies: Vec<frigate_replay::wire::messages::Response>,
    settled: BTreeSet<u64>,
    state: State,
    outbox: Outbox,
    under_way: VecDeque<Event>,
    next_receipt: u64,
    /// How many small acts may still be done before the cut.
    acts_left: Option<usize>,
    acts_done: usize,
}

fn policy() -> Policy {
    policy_of(None)
}

fn policy_of(frigate: Option<&Frigate>) -> Policy {
    Policy {
        topics: Topics::new("frigate_replay", "test")
            .unwrap()
            .with_discovery("homeassistant")
            .unwrap(),
        max_session_s: 43_200.0,
        max_range_s: 86_400.0,
        frigate_url: frigate.map(|_| "http://frigate:5000".into()),
        frigate_pictures: frigate.map(|_| "http://frigate:5000".into()),
        frigate_topics: None,
    }
}

fn camera(name: &str) -> CameraName {
    CameraName::parse(name).unwrap()
}

fn job_id(n: u64) -> JobId {
    let mut bytes = [0; JobId::LENGTH];
    bytes[..8].copy_from_slice(&n.to_le_bytes().map(|b| b % 36));
    JobId::from_random(bytes)
}

impl World {
    fn new() -> Self {
        Self::beside(None)
    }

    fn beside(frigate: Option<Frigate>) -> Self {
        let mut world = Self {
            now: 1_000_000.0,
            saved: BTreeMap::new(),
            saved_topics: BTreeSet::new(),
            broker: BTreeMap::new(),
            past: vec![BTreeMap::new()],
            traces: BTreeSet::new(),
            state: State::of(policy_of(frigate.as_ref()), Record::default()),
            frigate,
            job: None,
            replies: Vec::new(),
            settled: BTreeSet::new(),
            outbox: Outbox::default(),
            under_way: VecDeque::new(),
            next_receipt: 0,
            acts_left: None,
            acts_done: 0,
        };
        world.boot().unwrap();
        world.obey(&Order::Settle).unwrap();
        world
    }

    fn time(&self) -> UnixTime {
        UnixTime::new(self.now).unwrap()
    }

    /// One small act is about to be done; the cut may come before it.
    fn act(&mut self) -> Result<(), Cut> {
        self.acts_done += 1;
        match &mut self.acts_left {
            Some(0) => Err(Cut),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The process starts: what was in memory is gone.
    fn boot(&mut self) -> Result<(), Cut> {
        self.job = None;
        self.under_way.clear();
        self.outbox = Outbox::new(self.saved_topics.clone());
        let (record, unreadable) = Record::from_parts(&self.saved);
        assert!(unreadable.is_empty(), "{unreadable:?}");
        let clip_gone = record.session.as_ref().is_some_and(|session| {
            session.stage == Stage::Live && !self.traces.contains(&session.replay_camera())
        });
        let cameras = Ok(vec![camera("front"), camera("yard")]);
        let policy = policy_of(self.frigate.as_ref());
        let step = recover(policy, record, cameras, clip_gone, self.time());
        self.carry_out(step)?;
        self.connect()
    }

    fn connect(&mut self) -> Result<(), Cut> {
        self.outbox.connected(None);
        self.happen(Event::Connected)
    }

    fn happen(&mut self, event: Event) -> Result<(), Cut> {
        let step = step(self.state.clone(), event, self.time());
        self.carry_out(step)
    }

    fn carry_out(&mut self, step: Step) -> Result<(), Cut> {
        let only_looks = step.only_looks();
        self.state = step.state;
        if only_looks {
            self.act()?;
            step.effects.into_iter().for_each(|effect| self.perform(effect));
            return Ok(());
        }
        let view = view(&self.state);
        let new_topics = self.outbox.unremembered(&view);
        let parts = self.state.record.parts();
        if parts != self.saved || !new_topics.is_empty() {
            self.act()?;
            self.saved_topics.extend(new_topics);
            self.saved = parts;
        }
        self.outbox.show(&view, self.now as u64);
        self.publish()?;
        for effect in step.effects {
            self.act()?;
            self.perform(effect);
            self.publish()?;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Cut> {
        let mut queue = VecDeque::new();
        self.outbox.flush(|message| {
            queue.push_back(message);
            Ok(())
        });
        for message in queue {
            self.act()?;
            if !message.retain {
                continue;
            }
            if message.payload.is_empty() {
                self.broker.remove(&message.topic);
                if self.outbox.cleared(&message.topic) {
                    self.saved_topics.remove(&message.topic);
                }
            } else {
                assert!(self.saved_topics.contains(&message.topic), "published, not remembered");
                let text = String::from_utf8(message.payload.to_vec()).unwrap();
                self.broker.insert(message.topic, text);
            }
            self.check_never_contradictory();
            self.past.push(self.broker.clone());
        }
        Ok(())
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Settle(receipt) => {
                self.settled.insert(receipt.0);
            }
            Effect::Reply(_, response) => self.replies.push(*response),
            Effect::Announce(_) | Effect::ClearTopic(_) => {}
            Effect::LookUp(look_up) => {
                let found = found(look_up);
                self.under_way.push_back(Event::LookedUp(found));
            }
            Effect::RunJob(order) => {
                let id = order.job_id.clone();
                self.traces.insert(order.source_camera.replay());
                self.job = Some(*order);
                for report in [
                    JobReport::Progress(40.0),
                    JobReport::ClipMade(ClipInfo {
                        path: "/clip.mp4".into(),
                        segments: 3,
                        footage_s: 30.0,
                        gaps: 0,
                        bytes: 1000,
                        stretches: vec![],
                        warnings: vec![],
                    }),
                    JobReport::CameraBuilt {
                        config: json!({"enabled": true}),
                        settings_source: SettingsSource::ConfigFile,
                        warnings: vec![],
                    },
                ] {
                    self.under_way.push_back(Event::Job(id.clone(), report));
                }
            }
            Effect::TearDown(id, litter) => {
                self.end_job();
                for (camera, _) in &litter {
                    self.traces.remove(camera);
                }
                self.under_way.push_back(Event::Swept(litter));
                self.under_way.push_back(Event::TornDown(id));
            }
            Effect::Sweep { litter, keep } => {
                self.traces.retain(|camera| Some(camera) == keep.as_ref());
                self.under_way.push_back(Event::Swept(litter));
            }
            Effect::Frigate(deed) => {
                let frigate = self.frigate.as_mut().expect("no Frigate is beside this world");
                let done = frigate.perform(&deed, self.now);
                self.under_way.push_back(Event::Frigate(deed, done));
            }
            Effect::SweepRetained => {
                let view = view(&self.state);
                let shown =
                    |topic: &String| view.iter().any(|r| r.topic == *topic && r.payload.is_some());
                let stale: Vec<String> =
                    self.broker.keys().filter(|t| !shown(t)).cloned().collect();
                for topic in stale {
                    match self.state.policy.topics.parse(&topic) {
                        Some(Inbound::Camera(camera, Update::Add)) => {
                            self.outbox.found(topic);
                            let config = Value::Null;
                            let event = Event::StaleAdd { camera, job_id: None, config };
                            self.under_way.push_back(event);
                        }
                        Some(Inbound::Camera(_, Update::Remove)) => {
                            self.outbox.found(topic);
                            self.under_way.push_back(Event::StaleRemove);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn end_job(&mut self) {
        if let Some(job) = self.job.take() {
            self.under_way.retain(|event| !matches!(event, Event::Job(id, _) if *id == job.job_id));
        }
    }

    fn obey(&mut self, order: &Order) -> Result<(), Cut> {
        match order {
            Order::Start { camera: name, transaction } => {
                let request = Request::Start {
                    camera: camera(name),
                    span: Span::Last(600.0),
                    overrides: None,
                };
                self.ask(Verb::Start, Ok(request), *transaction)
            }
            Order::Export => {
                let request =
                    Request::StartFromExport { export_id: "front_x".into(), overrides: None };
                self.ask(Verb::StartFromExport, Ok(request), None)
            }
            Order::Stop => self.ask(Verb::Stop, Ok(Request::Stop { job_id: None }), None),
            Order::Form(change) => self.ask(Verb::Start, Ok(Request::Form(change.clone())), None),
            Order::HomeAssistant => {
                self.outbox.give_again(&self.state.policy.topics.discovery().unwrap());
                self.happen(Event::HomeAssistant)
            }
            Order::Go => match self.under_way.pop_front() {
                Some(event) => self.happen(event),
                None => Ok(()),
            },
            Order::Settle => self.settle(),
            Order::FailJob => {
                let Some(job) = self.job.clone() else { return Ok(()) };
                self.end_job();
                self.happen(Event::Job(job.job_id, JobReport::Ended(Some("no space".into()))))
            }
            Order::FrigateDown(down) => {
                self.frigate.iter_mut().for_each(|frigate| frigate.down = *down);
                Ok(())
            }
            Order::FrigateLate(late_s) => {
                let late_s = late_s.map(f64::from);
                self.frigate.iter_mut().for_each(|frigate| frigate.late_s = late_s);
                Ok(())
            }
            Order::StaleInFrigate(name) => {
                if let Some(frigate) = &mut self.frigate
                    && frigate.way != FrigateWay::PublishOnly
                    && self.state.record.session.is_none()
                {
                    frigate.cameras.entry(camera(name).replay()).or_insert(true);
                }
                Ok(())
            }
            Order::Wait(seconds) => {
                self.pass_time(f64::from(*seconds));
                let session = self.state.record.session.as_ref();
                let clip_gone = session.is_some_and(|session| {
                    session.stage == Stage::Live && !self.traces.contains(&session.replay_camera())
                });
                self.happen(Event::Tick { clip_gone })
            }
            Order::LoseClip => {
                self.traces.clear();
                Ok(())
            }
            Order::ForgetfulBroker => {
                self.broker.clear();
                self.connect()
            }
            Order::OldBroker(percent) => {
                self.broker = self.past[percent * (self.past.len() - 1) / 100].clone();
                self.connect()
            }
            Order::Reconnect => self.connect(),
            Order::Kill => self.boot(),
        }
    }

    fn pass_time(&mut self, seconds: f64) {
        self.now += seconds;
        self.frigate.iter_mut().for_each(|frigate| frigate.pass_time(self.now));
    }

    /// Everything goes on until nothing is under way and no time is waited for. What is tried again
    /// and again is tried for an hour at most.
    fn settle(&mut self) -> Result<(), Cut> {
        let until = self.now + 3600.0;
        loop {
            if let Some(event) = self.under_way.pop_front() {
                self.happen(event)?;
                continue;
            }
            match self.state.wake_at() {
                Some(at) if self.now < until => {
                    self.pass_time(at.since(self.time()).max(0.0));
                    self.happen(Event::Wake)?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn ask(
        &mut self,
        verb: Verb,
        request: Result<Request, Refusal>,
        transaction: Option<u32>,
    ) -> Result<(), Cut> {
        self.receive(verb, request, transaction, false)
    }

    fn receive(
        &mut self,
        verb: Verb,
        request: Result<Request, Refusal>,
        transaction: Option<u32>,
        again: bool,
    ) -> Result<(), Cut> {
        self.next_receipt += 1;
        let request = RequestEvent {
            request,
            reply_to: ReplyTo {
                verb: verb.as_str().into(),
                transaction: transaction.and_then(|n| Transaction::new(json!(n))),
                response_topic: None,
                correlation: None,
            },
            receipt: Receipt(self.next_receipt),
            fresh_id: job_id(self.next_receipt),
            again,
        };
        self.happen(Event::Request(request))
    }

    /// Holds at every moment, also for a reader who comes in between.
    fn check_never_contradictory(&self) {
        let mut adds = 0;
        for topic in self.broker.keys() {
            let Some(Inbound::Camera(camera, Update::Add)) = self.state.policy.topics.parse(topic)
            else {
                continue;
            };
            adds += 1;
            let remove = self.state.policy.topics.camera(&camera, Update::Remove);
            assert!(!self.broker.contains_key(&remove), "{camera} is added and removed");
        }
        assert!(adds <= 1, "two cameras are added: {:?}", self.broker.keys());
    }

    /// Holds when nothing is under way any more.
    fn check_calm(&self) {
        assert!(self.under_way.is_empty());
        assert_eq!(self.state.wake_at(), None, "something is still waited for");
        let shown: BTreeMap<String, String> = view(&self.state)
            .into_iter()
            .filter_map(|retained| Some((retained.topic, retained.payload?)))
            .collect();
        assert_eq!(self.broker, shown, "the broker shows something else than the state");
        assert_eq!(Record::from_parts(&self.saved).0, self.state.record, "unsaved");
        let kept: BTreeSet<ReplayCamera> = self.state.kept_camera().into_iter().collect();
        assert_eq!(self.traces, kept, "traces of other cameras than the session's");
        if let Some(frigate) = &self.frigate {
            assert_eq!(frigate.harm, Vec::<String>::new());
            let there =
                if frigate.way == FrigateWay::PublishOnly { BTreeSet::new() } else { kept.clone() };
            assert_eq!(frigate.standing(), there, "in Frigate stands another camera");
            assert!(frigate.cameras.values().all(|is_on| *is_on));
            let noted: BTreeSet<_> = self.state.record.link.placed.keys().cloned().collect();
            assert_eq!(noted, there, "what is noted of Frigate is not so");
        }
        assert!(self.state.record.litter.keys().all(|camera| kept.contains(camera)));
        assert!(self.state.claim.is_none() && self.state.waiting.is_empty());
        match &self.state.record.session {
            None => {
                assert!(self.job.is_none() || self.state.record.job.is_some());
                assert_eq!(self.session(), SessionMessage::default());
            }
            Some(session) => {
                assert_eq!(session.stage, Stage::Live, "a session that gets nowhere");
                assert!(session.camera_config.is_some() && session.clip.is_some());
                assert!(self.time().since(session.started_at) < 43_200.0);
            }
        }
        if let Some(job) = &self.state.record.job {
            let ended = !matches!(job.status, JobStatus::Running | JobStatus::Queued);
            assert_eq!(ended, job.end_time.is_some());
            assert!(ended, "a job that gets nowhere");
        }
        for n in 1..=self.next_receipt {
            // A cut connection leaves requests unsettled; the broker sends those again.
            assert!(self.settled.contains(&n) || self.acts_left.is_some(), "request {n} unsettled");
        }
    }

    fn session(&self) -> SessionMessage {
        serde_json::from_str(&self.broker[&self.state.policy.topics.session()]).unwrap()
    }

    fn run(&mut self, orders: &[Order]) -> Result<(), Cut> {
        orders.iter().try_for_each(|order| self.obey(order))
    }

    /// Lets everything come to its end: the calm that must be consistent.
    fn calm(&mut self) {
        self.acts_left = None;
        self.run(&[Order::FrigateDown(false), Order::FrigateLate(None)]).unwrap();
        self.run(&[Order::Settle, Order::Wait(60), Order::Settle, Order::Reconnect, Order::Settle])
            .unwrap();
        self.acts_left = Some(0);
        self.check_calm();
        self.acts_left = None;
    }
}

fn found(look_up: LookUp) -> Result<Found, Refusal> {
    let (source_camera, range) = match look_up.request {
        LookUpRequest::Recordings(camera, range) => (camera, range),
        LookUpRequest::Export(_) => {
            let at = |s| UnixTime::new(s).unwrap();
            (camera("front"), TimeRange { start: at(100.0), end: at(200.0) })
        }
    };
    if source_camera.as_str() == "missing" {
        return Err(Refusal::new(Code::UnknownCamera, "camera: \"missing\" is not there"));
    }
    Ok(Found {
        source_camera,
        range,
        settings_source: SettingsSource::ConfigFile,
        warnings: vec![],
    })
}

const START: Order = Order::Start { camera: "front", transaction: None };

fn world_after(orders: &[Order]) -> World {
    let mut world = World::new();
    world.run(orders).unwrap();
    world
}

fn last(world: &World) -> (ResponseStatus, Option<Code>) {
    let response = world.replies.last().unwrap();
    (response.status, response.error.as_ref().map(|error| error.code))
}

#[test]
fn a_replay_from_request_to_removal() {
    let mut world = world_after(&[START, Order::Go]);
    assert_eq!(last(&world), (ResponseStatus::Ok, None));
    assert_eq!(world.session().phase, Some(frigate_replay::wire::messages::Phase::Preparing));
    world.run(&[Order::Settle]).unwrap();
    assert_eq!(world.session().live_ready, Some(true));
    let topics = policy().topics;
    let replay = camera("front").replay();
    assert!(world.broker.contains_key(&topics.camera(&replay, Update::Add)));
    world.calm();

    world.run(&[Order::Stop]).unwrap();
    assert_eq!(world.replies.len(), 1, "a stop is answered when it is done");
    assert!(world.session().active);
    world.run(&[Order::Settle]).unwrap();
    assert_eq!(last(&world), (ResponseStatus::Ok, None));
    assert!(!world.broker.contains_key(&topics.camera(&replay, Update::Add)));
    let remove = &world.broker[&topics.camera(&replay, Update::Remove)];
    assert!(remove.contains(r#""reason":"stopped""#), "{remove}");
    assert!(world.broker[&topics.job_state()].contains(r#""id":"stopped""#));
    assert_eq!(world.state.record.history.jobs().len(), 1);
    world.calm();

    world.run(&[START, Order::Settle]).unwrap();
    assert!(!world.broker.contains_key(&topics.camera(&replay, Update::Remove)));
    world.calm();
}

#[test]
fn a_stop_before_the_camera_was_there_publishes_no_removal() {
    let mut world = world_after(&[START, Order::Go, Order::Go, Order::Stop, Order::Settle]);
    assert!(!world.broker.keys().any(|topic| topic.ends_with("/remove")));
    assert_eq!(world.state.record.history.jobs()[0].status, JobStatus::Cancelled);
    world.calm();
}

#[test]
fn one_session_at_a_time_also_for_requests_that_come_at_once() {
    let other = Order::Start { camera: "yard", transaction: None };
    let mut world = world_after(&[START, other, Order::Export, Order::Settle]);
    let codes: Vec<_> = world.replies.iter().map(|r| r.error.as_ref().map(|e| e.code)).collect();
    assert_eq!(codes, [None, Some(Code::AlreadyActive), Some(Code::AlreadyActive)]);
    world.calm();
}

#[test]
fn each_request_is_answered_by_what_the_one_before_it_led_to() {
    let missing = Order::Start { camera: "missing", transaction: None };
    let mut world = world_after(&[missing, START, Order::Stop, START, Order::Settle]);
    let codes: Vec<_> = world.replies.iter().map(|r| r.error.as_ref().map(|e| e.code)).collect();
    // The second start comes while the stop is still at work.
    assert_eq!(codes, [Some(Code::UnknownCamera), None, Some(Code::AlreadyActive), None]);
    world.calm();
}

#[test]
fn what_is_chosen_in_the_form_is_replayed_and_survives() {
    let chosen = |name| Order::Form(FormChange::Camera(camera(name)));
    let press = || Order::Form(FormChange::Replay);
    let topics = policy().topics;
    let shown = |world: &World| {
        [Control::Camera, Control::Minutes].map(|c| world.broker[&topics.form(c)].clone())
    };
    let mut world = World::new();
    assert_eq!(shown(&world), ["\"front\"", "10"]);
    world.run(&[chosen("yard"), Order::Form(FormChange::Minutes(3))]).unwrap();
    assert!(world.replies.is_empty(), "what is shown is the answer");
    world.run(&[Order::Kill, Order::Settle]).unwrap();
    assert_eq!(shown(&world), ["\"yard\"", "3"]);
    world.run(&[chosen("missing")]).unwrap();
    assert_eq!(last(&world).1, Some(Code::UnknownCamera));
    world.run(&[Order::Form(FormChange::Minutes(1441))]).unwrap();
    assert_eq!(last(&world).1, Some(Code::InvalidRange));
    assert_eq!(shown(&world), ["\"yard\"", "3"]);
    // A choice that comes while a start is looked into is the next one's.
    world.run(&[press(), chosen("front"), Order::Settle]).unwrap();
    let session = world.session();
    assert_eq!(session.source_camera, Some(camera("yard")));
    assert_eq!(session.end_time.unwrap().since(session.start_time.unwrap()), 180.0);
    assert_eq!(shown(&world), ["\"front\"", "3"]);
    world.run(&[press()]).unwrap();
    assert_eq!(last(&world).1, Some(Code::AlreadyActive));
    world.calm();
}

#[test]
fn a_form_without_a_camera_says_why() {
    for (cameras, word) in [(Ok(vec![]), "none"), (Err("config.yml: line 3".to_owned()), "line 3")]
    {
        let mut world = World::new();
        world.happen(Event::Cameras(cameras)).unwrap();
        assert_eq!(world.broker[&policy().topics.form(Control::Camera)], "null");
        world.run(&[Order::Form(FormChange::Replay)]).unwrap();
        let refusal = world.replies.last().unwrap().error.clone().unwrap();
        assert_eq!(refusal.code, Code::Unavailable);
        assert!(refusal.message.contains(word), "{}", refusal.message);
        world.run(&[Order::Form(FormChange::Camera(camera("front")))]).unwrap();
        assert_eq!(last(&world).1, Some(Code::Unavailable));
    }
}

#[test]
fn the_same_request_again_has_one_effect() {
    let again = || Order::Start { camera: "front", transaction: Some(7) };
    let mut world = world_after(&[again(), again(), Order::Settle, again()]);
    assert!(world.replies.iter().all(|reply| reply.status == ResponseStatus::Ok));
    assert_eq!(world.replies.len(), 3);
    world.run(&[Order::Start { camera: "front", transaction: Some(8) }]).unwrap();
    assert_eq!(last(&world).1, Some(Code::AlreadyActive));
    world.calm();
}

#[test]
fn a_failed_job_says_why_and_leaves_nothing() {
    let mut world = world_after(&[START, Order::Go, Order::Go, Order::FailJob, Order::Settle]);
    let job = &world.broker[&policy().topics.job_state()];
    assert!(job.contains(r#""status":"failed""#) && job.contains("no space"), "{job}");
    assert!(!world.session().active);
    world.calm();
}

#[test]
fn a_session_ends_after_its_longest_time_counted_across_restarts() {
    let mut world = world_after(&[START, Order::Settle, Order::Wait(43_000), Order::Kill]);
    world.run(&[Order::Settle, Order::Wait(100), Order::Settle]).unwrap();
    assert!(world.session().active);
    world.run(&[Order::Wait(100), Order::Settle]).unwrap();
    assert!(!world.session().active);
    let remove = policy().topics.camera(&camera("front").replay(), Update::Remove);
    assert!(world.broker[&remove].contains("timed_out"));
    world.calm();
}

#[test]
fn a_lost_clip_ends_the_session_as_failed() {
    for how in [Order::Wait(60), Order::Kill] {
        let mut world = world_after(&[START, Order::Settle, Order::LoseClip, how, Order::Settle]);
        assert!(world.broker[&policy().topics.job_state()].contains("clip was lost"));
        assert!(world.broker.keys().any(|topic| topic.ends_with("/remove")));
        world.calm();
    }
}

#[test]
fn a_job_that_is_interrupted_again_and_again_is_given_up() {
    let mut world = world_after(&[START, Order::Go]);
    for _ in 0..2 {
        world.run(&[Order::Kill]).unwrap();
        assert!(world.session().active);
    }
    world.run(&[Order::Kill, Order::Settle]).unwrap();
    let job = &world.broker[&policy().topics.job_state()];
    assert!(job.contains("interrupted 3 times"), "{job}");
    world.calm();
}

#[test]
fn a_broker_that_forgets_is_told_everything_again() {
    let mut world = world_after(&[START, Order::Settle]);
    let before = world.broker.clone();
    world.run(&[Order::ForgetfulBroker]).unwrap();
    assert_eq!(world.broker, before);
    world.calm();
}

#[test]
fn what_a_lost_past_left_on_the_broker_is_cleared() {
    let mut world = World::new();
    let topics = policy().topics;
    let old = camera("old").replay();
    world.broker.insert(topics.camera(&old, Update::Add), "{}".into());
    world.broker.insert(topics.camera(&camera("gone").replay(), Update::Remove), "{}".into());
    world.broker.insert("frigate_replay/before/session".into(), "{}".into());
    world.saved_topics.insert("frigate_replay/before/session".into());
    world.traces.insert(old.clone());
    world.run(&[Order::Kill, Order::Settle]).unwrap();
    let remove = &world.broker[&topics.camera(&old, Update::Remove)];
    assert!(remove.contains(r#""reason":"stale""#), "{remove}");
    world.calm();
}

/// The broker sends again what was answered and not acknowledged, for the connection or the worker
/// ended in between.
#[test]
fn a_request_that_comes_again_is_answered_the_same_and_has_no_other_effect() {
    let mut world = world_after(&[START, Order::Settle]);
    let ask = |world: &mut World, verb, again| {
        let request = match verb {
            Verb::Stop => Request::Stop { job_id: None },
            _ => Request::Start { camera: camera("yard"), span: Span::Last(60.0), overrides: None },
        };
        world.receive(verb, Ok(request), Some(7), again).unwrap();
        world.obey(&Order::Settle).unwrap();
        world.replies.last().unwrap().clone()
    };
    let refused = ask(&mut world, Verb::Start, false);
    assert_eq!(refused.error.as_ref().unwrap().code, Code::AlreadyActive);
    let stopped = ask(&mut world, Verb::Stop, false);
    assert_eq!(stopped.status, ResponseStatus::Ok);
    assert_eq!(ask(&mut world, Verb::Start, true), refused, "it could be obeyed by now");
    assert!(!world.session().active);
    world.run(&[Order::Kill, Order::Settle]).unwrap();
    let not_the_newest = ask(&mut world, Verb::Start, true);
    assert_eq!(not_the_newest, refused);
    assert_eq!(ask(&mut world, Verb::Stop, true), stopped);
    assert_eq!(world.state.record.history.jobs().len(), 1);
    // Somebody's next request with the same transaction is another one, also one that is lost at first.
    world.now += 60.0;
    assert_eq!(ask(&mut world, Verb::Stop, true).status, ResponseStatus::Error);
    assert_eq!(ask(&mut world, Verb::Stop, false).status, ResponseStatus::Error);
    world.calm();
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_last_longer() {
    const YEAR_S: u32 = 365 * 86_400;
    let mut world = World::new();
    world.now += f64::from(YEAR_S);
    world.run(&[START, Order::Settle, Order::Stop, Order::Settle, START, Order::Settle]).unwrap();
    world.run(&[Order::Stop, Order::Settle]).unwrap();
    let other = Order::Start { camera: "yard", transaction: None };
    world.run(&[other, Order::Settle]).unwrap();
    world.now -= f64::from(YEAR_S);
    world.run(&[Order::Wait(60), Order::Settle, Order::Wait(43_000), Order::Settle]).unwrap();
    assert!(world.session().active);
    world.run(&[Order::Wait(300), Order::Settle]).unwrap();
    assert!(!world.session().active, "12 hours after the clock was set back");
    world.run(&[Order::Wait(8 * 86_400), Order::Settle]).unwrap();
    assert!(!world.broker.keys().any(|topic| topic.ends_with("/remove")), "a week after it");
    world.calm();
}

#[test]
fn a_sweep_that_did_not_come_to_its_end_is_done_again() {
    let mut world = World::new();
    world.happen(Event::SweepUnfinished).unwrap();
    world.traces.insert(camera("old").replay());
    world.run(&[Order::Wait(60), Order::Settle]).unwrap();
    assert!(world.traces.is_empty());
    world.traces.insert(camera("old").replay());
    world.run(&[Order::Wait(60), Order::Settle]).unwrap();
    assert!(!world.traces.is_empty(), "and then not again");
    world.run(&[Order::Kill]).unwrap();
    world.calm();
}

/// Overrides as long as a request, and warnings as long as they get, in letters of three bytes.
#[test]
fn a_large_session_is_saved_in_values_that_the_store_takes() {
    let mut world = world_after(&[START, Order::Settle]);
    let small = world.state.record.clone();
    let warnings = vec!["窓".repeat(1000); 20];
    let session = world.state.record.session.as_mut().unwrap();
    session.overrides = json!({"detect": {"x": "y".repeat(60_000)}}).as_object().cloned();
    session.warnings.clone_from(&warnings);
    let answer = world.state.record.last_response.as_mut().unwrap();
    answer.data.as_mut().unwrap().warnings = warnings;
    for record in [small, world.state.record] {
        let parts = record.parts();
        for (name, value) in &parts {
            assert!(value.len() <= VALUE_MAX_BYTES, "{name} has {} bytes", value.len());
        }
        assert_eq!(Record::from_parts(&parts), (record, Vec::new()));
    }
}

#[test]
fn what_cannot_be_read_of_a_record_is_named_as_it_is_saved_and_costs_nothing_else() {
    let world = world_after(&[START, Order::Settle, Order::Stop, Order::Settle, START]);
    let record = &world.state.record;
    let mut parts = record.parts();
    let now = String::from_utf8(parts["now"].clone()).unwrap();
    parts.insert("now".into(), now.replacen(r#""job":{"#, r#""job":{"status":7,"#, 1).into_bytes());
    parts.insert("form".into(), b"7".to_vec());
    let (read, unreadable) = Record::from_parts(&parts);
    assert_eq!(unreadable, ["form", "now"]);
    assert_eq!(read.job, None);
    assert_eq!(read.session, record.session);
    assert_eq!(read.history, record.history);
    assert_eq!(read.last_response, record.last_response);
}

#[test]
fn a_removal_is_not_shown_for_ever() {
    let mut world = world_after(&[START, Order::Settle, Order::Stop, Order::Settle]);
    assert!(world.broker.keys().any(|topic| topic.ends_with("/remove")));
    world.run(&[Order::Wait(8 * 86_400)]).unwrap();
    assert!(!world.broker.keys().any(|topic| topic.ends_with("/remove")));
    world.calm();
}

#[test]
fn requests_that_wait_are_bounded() {
    let mut world = world_after(&vec![START; MAX_WAITING + 3]);
    assert_eq!(last(&world).1, Some(Code::Unavailable));
    assert_eq!(world.replies.len(), 2);
    world.run(&[Order::Settle]).unwrap();
    assert_eq!(world.replies.len(), MAX_WAITING + 3);
    world.calm();
}

#[test]
fn a_retained_request_is_refused_and_cleared() {
    let state = State::of(policy(), Record::default());
    let reply_to = ReplyTo {
        verb: "start".into(),
        transaction: None,
        response_topic: None,
        correlation: None,
    };
    let topic = policy().topics.request(Verb::Start);
    let receipt = Receipt(1);
    let event = Event::RetainedRequest { reply_to, topic: topic.clone(), receipt };
    let step = step(state, event, UnixTime::from_secs(5));
    assert!(step.effects.contains(&Effect::ClearTopic(topic)));
    assert!(step.effects.contains(&Effect::Settle(receipt)));
    assert!(step.state.record.session.is_none());
}

/// Cuts the world after every single act of a whole life, starts it again, and looks.
#[test]
fn the_crash_matrix() {
    let chosen = Order::Form(FormChange::Camera(camera("yard")));
    let press = Order::Form(FormChange::Replay);
    let lives: [&[Order]; 7] = [
        &[chosen, press, Order::Settle, Order::HomeAssistant, Order::Stop, Order::Settle],
        &[START, Order::Settle, Order::Stop, Order::Settle],
        &[START, Order::Go, Order::Go, Order::Stop, Order::Settle],
        &[START, Order::Go, Order::FailJob, Order::Settle],
        &[START, Order::Settle, Order::LoseClip, Order::Wait(60), Order::Settle],
        &[START, Order::Settle, Order::Wait(43_200), Order::Settle, START, Order::Settle],
        &[Order::Export, Order::Settle, Order::ForgetfulBroker, Order::Stop, Order::Settle, START],
    ];
    // What else befalls the world when the worker is cut off: nothing; the broker forgets everything;
    // it comes back as it was a while ago.
    let brokers: [fn(&mut World); 3] = [
        |_| {},
        |world| world.broker.clear(),
        |world| world.broker = world.past[world.past.len() / 2].clone(),
    ];
    let mut cuts = 0;
    let frigates = [None, Some(FrigateWay::AddAndRemove), Some(FrigateWay::SwitchOffAndDelete)];
    for (life, way) in lives.into_iter().flat_map(|life| frigates.map(|way| (life, way))) {
        let acts = {
            let mut world = World::beside(way.map(Frigate::new));
            world.acts_done = 0;
            world.run(life).unwrap();
            world.acts_done
        };
        assert!(acts > 15, "{acts}");
        for cut in 0..acts {
            for broker in brokers {
                let mut world = World::beside(way.map(Frigate::new));
                world.acts_left = Some(cut);
                world.run(life).expect_err("the cut came");
                world.acts_left = None;
                broker(&mut world);
                world.boot().unwrap();
                world.calm();
                cuts += 1;
            }
        }
    }
    println!("{cuts} cuts");
}

fn orders() -> impl Strategy<Value = Vec<(Order, Option<usize>)>> {
    let order = prop_oneof![
        4 => (prop_oneof![Just("front"), Just("yard"), Just("missing")], proptest::option::of(0..3u32))
            .prop_map(|(camera, transaction)| Order::Start { camera, transaction }),
        1 => Just(Order::Export),
        1 => prop_oneof![
            Just(FormChange::Camera(camera("yard"))),
            Just(FormChange::Camera(camera("missing"))),
            (0..2000u32).prop_map(FormChange::Minutes),
            Just(FormChange::Replay),
        ]
        .prop_map(Order::Form),
        1 => Just(Order::HomeAssistant),
        3 => Just(Order::Stop),
        6 => Just(Order::Go),
        2 => Just(Order::Settle),
        1 => Just(Order::FailJob),
        1 => prop_oneof![Just(1u32), Just(60), Just(43_200), Just(700_000)].prop_map(Order::Wait),
        1 => Just(Order::LoseClip),
        1 => Just(Order::ForgetfulBroker),
        1 => Just(Order::Reconnect),
        2 => (0..=100usize).prop_map(Order::OldBroker),
        1 => Just(Order::Kill),
        1 => any::<bool>().prop_map(Order::FrigateDown),
        1 => proptest::option::of(0..12u32).prop_map(Order::FrigateLate),
        1 => Just(Order::StaleInFrigate("yard")),
    ];
    // Now and then the worker dies in the middle of an order.
    let cut = proptest::option::weighted(0.15, 0..12usize);
    proptest::collection::vec((order, cut), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_next_calm_finds_the_world_consistent(
        way in proptest::option::of(prop_oneof![
            Just(FrigateWay::AddAndRemove),
            Just(FrigateWay::SwitchOffAndDelete),
            Just(FrigateWay::PublishOnly),
        ]),
        script in orders(),
    ) {
        let mut world = World::beside(way.map(Frigate::new));
        let mut was_cut = false;
        for (order, cut) in &script {
            world.acts_left = *cut;
            if world.obey(order).is_err() {
                was_cut = true;
                world.acts_left = None;
                world.boot().unwrap();
            }
            world.acts_left = None;
        }
        if was_cut || script.iter().any(|(order, _)| matches!(order, Order::Kill)) {
            // What was not settled is sent again by the broker; here nobody does.
            world.settled.extend(1..=world.next_receipt);
        }
        world.calm();
    }
}
