//! Reports of unreachable elements (RFC 5352 §3.5, design D4, ambiguities ).
//!
//! A report is a reason to look, never a reason to remove: the element is probed at once, or in its turn if there is
//! more to look into than the budget of probes allows (see [`inquiries`](super::inquiries)). If many clients report one that answers, it is
//! listed last for a while, since an answer to us does not prove that they can reach it. (With `strict_rfc` it is removed.)

use super::inquiries::Why;
use super::registrars::is_registrar_pool;
use super::timers::Timer;
use super::{ElementKey, Registrar, RemovalReason};
use crate::{AssocId, Time};
use asap::EndpointUnreachable;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a report counts.
const MEMORY: Duration = Duration::from_secs(10);
/// Distinct reporters remembered for one element; more tell nothing new.
const REPORTERS: usize = 64;

/// Who reported an element lately.
#[derive(Debug, Default)]
pub(super) struct Reports {
    by: BTreeMap<AssocId, Time>,
    probed: Option<Time>,
    /// More than MAX-BAD-PE-REPORT.
    many: bool,
}

impl Reports {
    pub(super) fn len(&self) -> usize {
        self.by.len()
    }

    pub(super) fn are_many(&self) -> bool {
        self.many
    }
}

impl Registrar {
    /// ENDPOINT_UNREACHABLE.
    pub(super) fn report_received(&mut self, now: Time, assoc: AssocId, report: EndpointUnreachable) {
        self.counters.reports += 1;
        // What is kept of reports shares the bytes of the pool's handle.
        let handle = self.handlespace.pool(&report.handle).map_or(&report.handle, |pool| pool.handle());
        let key = ElementKey::new(handle, report.id);
        let room = self.reports.len() < self.config.limits.reported_elements;
        // Whether a registrar lives is no question of keep-alives.
        let probed = self.element(&key).is_some() && !is_registrar_pool(&key.handle);
        if !probed {
            self.counters.reports_ignored += 1;
            return;
        }
        if !(room || self.reports.contains_key(&key)) {
            self.counters.reports_refused += 1;
            return;
        }
        let answers_us = self.answers_us(&key);
        let reports = self.reports.entry(key.clone()).or_default();
        if reports.by.len() < REPORTERS || reports.by.contains_key(&assoc) {
            reports.by.insert(assoc, now);
        } else {
            self.counters.reporters_refused += 1;
        }
        let pause = self.config.timers.keep_alive_interval;
        let probe = answers_us && reports.probed.is_none_or(|probed| probed + pause <= now);
        if probe {
            reports.probed = Some(now);
        }
        self.timers.set(Timer::Reports(key.clone()), now + MEMORY);
        self.judge_reports(now, &key);
        if probe && self.element(&key).is_some() {
            self.inquire(now, key, Why::Reported);
        }
    }

    /// Whether an element that lives would answer to this registrar: rsplib's answer to their home, whoever asks, and another
    /// registrar would take them for dead.
    pub(super) fn answers_us(&self, key: &ElementKey) -> bool {
        self.owned.contains(key) || !self.config.compat.is_rsplib()
    }

    /// Forgets what is too old, and judges anew.
    pub(super) fn reports_timeout(&mut self, now: Time, key: ElementKey) {
        self.judge_reports(now, &key);
        match self.reports.get(&key).and_then(|reports| reports.by.values().min()) {
            Some(oldest) => self.timers.set(Timer::Reports(key), *oldest + MEMORY),
            None => self.forget_reports(now, &key),
        }
    }

    fn judge_reports(&mut self, now: Time, key: &ElementKey) {
        let Some(reports) = self.reports.get_mut(key) else { return };
        reports.by.retain(|_, at| *at + MEMORY > now);
        reports.many = reports.by.len() > self.config.timers.max_bad_pe_report as usize;
        match reports.many && self.config.strict_rfc {
            true => self.remove_and_announce(now, key, RemovalReason::Reported),
            false => self.update_suspicion(now, key),
        }
    }

    /// A registration, or the end of one, makes all reports void.
    pub(super) fn forget_reports(&mut self, now: Time, key: &ElementKey) {
        if self.reports.remove(key).is_some() {
            self.timers.cancel(&Timer::Reports(key.clone()));
            self.inquiries.reports_void(key);
            self.update_suspicion(now, key);
        }
    }
}
