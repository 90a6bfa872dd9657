//! Requests: taken in turn, looked into, accepted, refused.

use crate::wire::messages::{Happening, Response, ResponseData};
use crate::wire::requests::{Code, Refusal, Request};
use crate::words::JobId;

use super::super::event::{Effect, Found, LookUp, LookUpRequest, Receipt, ReplyTo, RequestEvent};
use super::super::state::{Claim, Ending, MAX_WAITING, Session, Source, Stage, few};
use super::Turn;

/// How many stops may wait for the end of one session.
const MAX_ANSWERS: usize = 16;

/// How long after its answer a request that comes again is taken for the same, seconds: longer than a
/// restart or a cut connection takes. Later it may be another one of a script that always uses the
/// same transaction, lost on its first way here.
const AGAIN_WITHIN_S: f64 = 60.0;

impl Turn {
    /// Requests take their turn: while a start is looked into, the others wait in their order, so
    /// that each is answered by what the one before it led to.
    pub(super) fn request(&mut self, request: RequestEvent) {
        if self.state.claim.is_none() {
            self.obey(request);
        } else if self.state.waiting.len() < MAX_WAITING {
            self.state.waiting.push_back(request);
        } else {
            let message =
                format!("{MAX_WAITING} requests are waiting already; ask again in a moment");
            self.refuse(request.reply_to, Refusal::new(Code::Unavailable, message));
            self.effects.push(Effect::Settle(request.receipt));
        }
    }

    fn obey(&mut self, event: RequestEvent) {
        let RequestEvent { request, reply_to, receipt, fresh_id, again } = event;
        if let Some(answer) = again.then(|| self.answer_before(&reply_to)).flatten() {
            self.effects.push(Effect::Reply(reply_to, Box::new(answer)));
            self.effects.push(Effect::Settle(receipt));
            return;
        }
        let asked = match request {
            Ok(Request::Form(change)) => self.operate_form(change),
            other => other.map(Some),
        };
        let refusal = match asked {
            Err(refusal) => Some(refusal),
            // What is shown of the form is the answer.
            Ok(None) => None,
            Ok(Some(Request::Stop { job_id })) => match self.stop(job_id, &reply_to) {
                // Acknowledged with its answer: killed before that, the worker gets it again.
                None => return self.state.stop_receipts.push(receipt),
                refusal => refusal,
            },
            Ok(Some(start)) => match self.claim(start, &reply_to, receipt, fresh_id) {
                Ok(Claimed::LookingUp) => return,
                Ok(Claimed::Already) => None,
                Err(refusal) => Some(refusal),
            },
        };
        if let Some(refusal) = refusal {
            self.refuse(reply_to, refusal);
        }
        self.effects.push(Effect::Settle(receipt));
    }

    /// Claims the session for a start and has it looked into.
    fn claim(
        &mut self,
        request: Request,
        reply_to: &ReplyTo,
        receipt: Receipt,
        job_id: JobId,
    ) -> Result<Claimed, Refusal> {
        if let Some(session) = &self.state.record.session {
            if !is_repeated(session, reply_to) {
                return Err(already_active(session));
            }
            let data = accepted(session);
            self.answer(reply_to.clone(), data);
            return Ok(Claimed::Already);
        }
        let (source, overrides, request) = match request {
            Request::Start { camera, span, overrides } => {
                let range = span.range(self.now, self.state.policy.max_range_s)?;
                (Source::Recordings, overrides, LookUpRequest::Recordings(camera, range))
            }
            Request::StartFromExport { export_id, overrides } => {
                let request = LookUpRequest::Export(export_id.clone());
                (Source::Export(export_id), overrides, request)
            }
            Request::Stop { .. } | Request::Form(_) => {
                return Err(Refusal::new(Code::Internal, "something else was taken for a start"));
            }
        };
        self.effects.push(Effect::LookUp(LookUp { request, overrides: overrides.clone() }));
        let reply_to = reply_to.clone();
        self.state.claim = Some(Claim { job_id, source, overrides, reply_to, receipt });
        Ok(Claimed::LookingUp)
    }

    pub(super) fn looked_up(&mut self, found: Result<Found, Refusal>) {
        let Some(claim) = self.state.claim.take() else {
            return;
        };
        let receipt = claim.receipt;
        match found {
            Ok(found) => self.accept(claim, found),
            Err(refusal) => self.refuse(claim.reply_to, refusal),
        }
        self.effects.push(Effect::Settle(receipt));
        while self.state.claim.is_none() {
            match self.state.waiting.pop_front() {
                Some(request) => self.obey(request),
                None => break,
            }
        }
    }

    fn accept(&mut self, claim: Claim, found: Found) {
        let session = Session {
            job_id: claim.job_id,
            source_camera: found.source_camera,
            source: claim.source,
            range: found.range,
            overrides: claim.overrides,
            begun_by: claim.reply_to.clone(),
            started_at: self.now,
            attempts: 1,
            stage: Stage::Preparing,
            clip: None,
            camera_config: None,
            settings_source: found.settings_source,
            warnings: few(found.warnings),
        };
        let data = accepted(&session);
        self.state.record.session = Some(session);
        self.answer(claim.reply_to, data);
        self.announce(Happening::Started, None);
        self.run_job(self.now);
    }

    /// What was answered to this request before, if the broker sends it again: the connection or the
    /// worker ended before it could be acknowledged.
    fn answer_before(&self, reply_to: &ReplyTo) -> Option<Response> {
        reply_to.transaction.as_ref()?;
        let same = |answer: &&Response| {
            (0.0..AGAIN_WITHIN_S).contains(&self.now.since(answer.ts))
                && answer.verb == reply_to.verb
                && answer.transaction == reply_to.transaction
        };
        self.state.answered.iter().rev().find(same).cloned()
    }

    /// Begins to end the session; the answer comes when it has ended.
    fn stop(&mut self, job_id: Option<String>, reply_to: &ReplyTo) -> Option<Refusal> {
        let session = match &mut self.state.record.session {
            None => {
                return Some(Refusal::new(Code::NotActive, "no replay is active"));
            }
            Some(session) => session,
        };
        if let Some(wanted) = job_id.filter(|id| id != session.job_id.as_str()) {
            return Some(Refusal::new(
                Code::NotActive,
                format!("job_id: {wanted:?} is not active; {} is", session.job_id),
            ));
        }
        if !matches!(session.stage, Stage::Stopping { .. }) {
            self.end(Ending::Stopped);
        }
        if let Some(Session { stage: Stage::Stopping { answers, .. }, .. }) =
            &mut self.state.record.session
        {
            let is_there = reply_to.transaction.is_some() && answers.contains(reply_to);
            if is_there {
                return None;
            }
            if answers.len() == MAX_ANSWERS {
                let message = format!("{MAX_ANSWERS} stops are waiting already");
                return Some(Refusal::new(Code::Unavailable, message));
            }
            answers.push(reply_to.clone());
        }
        None
    }
}

enum Claimed {
    /// The answer comes when it is looked up.
    LookingUp,
    /// The session stands already; it was answered.
    Already,
}

/// Whether this is the request again that began the session: QoS 1 may deliver it twice.
fn is_repeated(session: &Session, reply_to: &ReplyTo) -> bool {
    reply_to.transaction.is_some()
        && session.begun_by.verb == reply_to.verb
        && session.begun_by.transaction == reply_to.transaction
}

fn accepted(session: &Session) -> ResponseData {
    ResponseData {
        job_id: session.job_id.clone(),
        replay_camera: session.replay_camera(),
        settings_source: Some(session.settings_source),
        warnings: session.warnings.clone(),
    }
}

fn already_active(session: &Session) -> Refusal {
    let message = format!(
        "a replay of camera {:?} is active since {} (job {}); stop it first",
        session.source_camera.as_str(),
        session.started_at,
        session.job_id
    );
    Refusal::new(Code::AlreadyActive, message)
}
