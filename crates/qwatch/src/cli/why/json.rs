//! The answer for programs. The names of the members are a promise.

use serde_json::{Value, json};

use super::Question;
use crate::machine::{Cause, Mark, State, Unheard};
use crate::time;

/// One object on one line.
pub(super) fn line(question: &Question<'_>) -> String {
    let state = &question.known.state;
    let name = &question.machine.name;
    let cause = state.cause();
    let past: Vec<Value> = state
        .past_stops()
        .map(|(cause, end)| {
            let mut stop = cause_of(state, name, &cause);
            stop["until"] = time::rfc3339(end.time_us).into();
            stop
        })
        .collect();
    let findings = state.findings();
    let findings: Vec<Value> = findings.iter().map(|c| cause_of(state, name, c)).collect();
    let qemu = state.qemu();
    json!({
        "machine": name,
        "at": question.at_us.map(time::rfc3339),
        "state": state.run_state().word(),
        "waits_for": state.waits_for(),
        "since": state.since_us().map(time::rfc3339),
        "heard": question.is_heard(),
        "cause": cause.as_ref().map(|cause| cause_of(state, name, cause)),
        "findings": findings,
        "reset": state.reset_cause().map(|cause| cause_of(state, name, &cause)),
        "stops": state.pauses(),
        "past_stops": past,
        "previous": state.previous().map(|previous| json!({
            "state": previous.run.word(),
            "since": previous.since.as_ref().map(|mark| time::rfc3339(mark.time_us)),
            "cause": previous.cause.as_ref().map(|cause| cause_of(state, name, cause)),
        })),
        "run": question.known.run,
        "qemu": qemu.version,
        "pid": qemu.pid,
        "address": qemu.address,
    })
    .to_string()
}

fn cause_of(state: &State, machine: &str, cause: &Cause) -> Value {
    let rule = cause.rule();
    let next: Vec<Value> = state
        .steps(machine, cause)
        .into_iter()
        .map(|(say, command)| json!({ "say": say, "command": command }))
        .collect();
    json!({
        "cause": rule.id.name(),
        "title": rule.title,
        "certainty": cause.certainty.word(),
        "subject": cause.subject,
        "meaning": rule.meaning,
        "chain": cause.chain.iter().map(mark).collect::<Vec<_>>(),
        "remarks": cause.remarks,
        "unheard": cause.unheard.as_ref().map(unheard),
        "next": next,
    })
}

fn mark(mark: &Mark) -> Value {
    json!({
        "seq": mark.seq,
        "time": time::rfc3339(mark.time_us),
        "received": time::rfc3339(mark.received_us),
        "event": mark.name,
        "text": mark.text,
    })
}

fn unheard(unheard: &Unheard) -> Value {
    json!({
        "seq": unheard.mark.seq,
        "from": unheard.from_us.map(time::rfc3339),
        "until": time::rfc3339(unheard.until_us),
        "reason": unheard.reason,
    })
}
