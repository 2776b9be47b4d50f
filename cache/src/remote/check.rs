//! What a remote can do, tried out one by one, below the prefix that is used later.

use std::io::Read;

use super::{
    Remote, RemoteMode,
    fault::Fault,
    names,
    transport::{Answer, Content, Listed, Transport},
};
use crate::{hash::Digest, machine};

/// Something that a remote may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Write an object.
    Write,
    /// Read it as it was written.
    Read,
    /// Read the rest of one, as after a cut.
    ReadPart,
    /// Say of an object that is not there that it is not there.
    Miss,
    /// Refuse to write where something is.
    WriteNew,
    /// List objects.
    List,
    /// Remove objects.
    Remove,
}

/// What came of trying it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStep {
    /// What was tried.
    pub ability: Ability,
    /// Whether this remote, as it is used, is of no use without it.
    pub needed: bool,
    /// Why it cannot, if it cannot; `None` also where there was nothing to try it on.
    pub problem: Option<String>,
    /// Whether it was tried.
    pub tried: bool,
}

impl Remote {
    /// Tries what the remote can do, with an object that is removed again.
    pub fn check(&self) -> Vec<CheckStep> {
        let transport = self.line().transport();
        let mode = self.mode();
        let seed = format!("{} {} {}", machine::host_name(), std::process::id(), machine::now_ms());
        let content = Digest::of_bytes(seed.as_bytes()).to_string().repeat(16);
        let content = content.as_bytes();
        let name = format!("{}{}", names::CHECKS, Digest::of_bytes(seed.as_bytes()));
        let mut steps = Vec::new();
        let mut step = |ability, needed, outcome: Option<Result<(), String>>| {
            let (tried, problem) = (outcome.is_some(), outcome.and_then(Result::err));
            steps.push(CheckStep { ability, needed, problem, tried });
        };
        let (pulls, pushes) = (mode != RemoteMode::Push, mode != RemoteMode::Pull);
        let written = transport.put(&name, &Content::Bytes(content), false).map(drop).map_err(|e| e.to_string());
        let there = written.is_ok();
        step(Ability::Write, pushes, Some(written));
        // Where nothing may be written, something may have been.
        let other = if there { None } else { any(transport) };
        let read = |from| match &other {
            None => there.then(|| read_back(transport, &name, content, from)),
            Some(other) => Some(read_other(transport, other, from)),
        };
        step(Ability::Read, pulls, read(0));
        step(Ability::ReadPart, false, read(100));
        step(Ability::Miss, true, Some(miss(transport, &format!("{name}-none"))));
        let new = there.then(|| write_new(transport, &name, content));
        // One that only ignores the condition is of use; one that fails over it takes no results at all.
        let fails = matches!(new, Some(Err(New::Fails(_))));
        let said = |new: New| match new {
            New::Ignored => "it replaces what is there (no `If-None-Match`): of two machines that push the same \
                             result at once, the later one's stays"
                .to_owned(),
            New::Fails(problem) => problem,
        };
        step(Ability::WriteNew, pushes && fails, new.map(|new| new.map_err(said)));
        step(Ability::List, false, Some(list(transport, there.then_some(name.as_str()))));
        step(Ability::Remove, false, there.then(|| remove(transport, &name)));
        steps
    }
}

fn read_back(transport: &dyn Transport, name: &str, content: &[u8], from: u64) -> Result<(), String> {
    let (begins, bytes) = read(transport, name, content.len() as u64, from)?;
    if content.get(begins as usize..) == Some(&bytes) { Ok(()) } else { Err("it comes back changed".to_owned()) }
}

/// An object of `length` bytes from one of them on: where what comes begins, and what it is.
fn read(transport: &dyn Transport, name: &str, length: u64, from: u64) -> Result<(u64, Vec<u8>), String> {
    match transport.head(name).map_err(|e| format!("asked for its size (HEAD): {e}"))? {
        Some(bytes) if bytes == length => {}
        Some(_) => return Err("it does not say how large an object is (HEAD): all is sent again and again".to_owned()),
        None => return Err("it says that what was written is not there (HEAD)".to_owned()),
    }
    let answer = transport.get(name, from).map_err(|e| e.to_string())?;
    let Some(Answer { from: begins, body }) = answer else { return Err("what was written is not there".to_owned()) };
    let mut bytes = Vec::new();
    body.take(1 << 20).read_to_end(&mut bytes).map_err(|e| Fault::broken(&e).to_string())?;
    if from > 0 && begins == 0 {
        return Err("it sends objects as a whole only: what is cut off begins anew".to_owned());
    }
    if begins + bytes.len() as u64 == length {
        Ok((begins, bytes))
    } else {
        Err(format!("{} bytes came of {length}", bytes.len()))
    }
}

/// Something that lies there already: a record, if objects can be listed.
fn any(transport: &dyn Transport) -> Option<Listed> {
    transport.list(names::RECORDS, None).ok()?.into_iter().next()
}

fn read_other(transport: &dyn Transport, object: &Listed, from: u64) -> Result<(), String> {
    read(transport, &object.name, object.bytes, from).map(drop)
}

fn miss(transport: &dyn Transport, name: &str) -> Result<(), String> {
    match transport.get(name, 0) {
        Ok(None) => match transport.head(name) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("it says that there is an object which is not there (HEAD)".to_owned()),
            Err(fault) => Err(format!("asked with HEAD: {fault}")),
        },
        Ok(Some(_)) => Err("it sends something for an object that is not there".to_owned()),
        Err(Fault::Refused { status, minutes_apart: None, .. }) => Err(format!(
            "{status} for what is not there: a key that may not list the bucket is told so (on S3, s3:ListBucket \
             of the bucket is missing), or it may not read"
        )),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Why nothing can be written only where nothing is.
enum New {
    Ignored,
    Fails(String),
}

fn write_new(transport: &dyn Transport, name: &str, content: &[u8]) -> Result<(), New> {
    match transport.put(name, &Content::Bytes(content), true) {
        Ok(false) => Ok(()),
        Ok(true) => Err(New::Ignored),
        Err(fault) => Err(New::Fails(format!("asked with `If-None-Match`: {fault}"))),
    }
}

fn list(transport: &dyn Transport, name: Option<&str>) -> Result<(), String> {
    let listed = transport.list(names::CHECKS, None).map_err(|e| e.to_string())?;
    match name {
        Some(name) if !listed.iter().any(|object| object.name == name) && listed.len() < 1000 => {
            Err("what was written is not listed".to_owned())
        }
        _ => Ok(()),
    }
}

fn remove(transport: &dyn Transport, name: &str) -> Result<(), String> {
    transport.delete(&[name.to_owned()]).map_err(|e| e.to_string())?;
    match transport.head(name) {
        // A key that may not list is told so of what is gone.
        Ok(None) | Err(Fault::Refused { .. }) => Ok(()),
        Ok(Some(_)) => Err("it is still there".to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}
