//! After the machine went down: what did not reach the disk is dropped before anything is served.

use std::{fs, path::PathBuf, time::SystemTime};

use crate::{
    disk::{Layout, manifest, object, paths},
    error::{Damage, IoContext, StoreError},
    share::session,
};

/// The manifests written since then.
pub(crate) fn manifests_since(layout: &Layout, since: SystemTime) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = paths::list_fanned(&layout.join("manifests"))?;
    paths.retain(|path| fs::metadata(path).and_then(|m| m.modified()).is_ok_and(|t| t >= since));
    Ok(paths)
}

/// Checks what sessions published before the machine went down, if it did; returns what had to be dropped.
pub(crate) fn recover(layout: &Layout) -> Result<Vec<Damage>, StoreError> {
    let mut dead = session::dead(layout, true)?;
    dead.retain(|d| d.rebooted);
    let Some(since) = dead.iter().map(|d| d.since).min() else { return Ok(Vec::new()) };
    let mut dropped = Vec::new();
    for path in manifests_since(layout, since)? {
        let reason = match manifest::read(&path) {
            Ok(m) => m.outputs.iter().find_map(|o| match object::check_object(layout, &o.artifact) {
                Err(StoreError::Damaged(damage)) => Some(damage),
                _ => None,
            }),
            Err(manifest::Unreadable::Damaged(damage)) => Some(damage),
            Err(_) => None,
        };
        if let Some(damage) = reason {
            tracing::warn!(%damage, "dropped a result that did not reach the disk before the machine went down");
            paths::remove(&path).at("remove", &path)?;
            dropped.push(damage);
        }
    }
    // The index may name what was just dropped.
    if !dropped.is_empty() {
        let index = layout.join("index");
        paths::remove(&index).at("remove", &index)?;
    }
    for session in dead {
        paths::remove(&session.dir).at("remove", &session.dir)?;
    }
    Ok(dropped)
}
