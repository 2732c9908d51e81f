//! The state after each revision, rebuilt from the feed, and what it allows.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_json::{Value, json};

use super::{
    changes::{ELSEWHERE, IDLE, ONLY_USERS},
    record::{Ask, Intent},
};
use crate::support::history::Recorded;

/// The revisions at which a token is good in itself.
struct Life {
    issued: i64,
    ended: i64,
    /// From which on it has an expiry, which is never within a run.
    expires: i64,
    /// Whether it may do nothing but read users.
    reads_users_only: bool,
    /// Whether it may be used only from where nobody asks.
    is_elsewhere: bool,
    /// Whether it has gone unused for longer than may be limited. It is asked only once for what it may do.
    is_idle: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct Member {
    role: String,
    state: String,
}

/// Of every revision.
#[derive(Default)]
pub(super) struct Model {
    /// As answers carry them, by number.
    revisions: Vec<String>,
    /// The kind and subject of each.
    events: Vec<(String, String)>,
    /// By subject.
    tokens: BTreeMap<String, Life>,
    /// By subject: what each is from which revision on.
    members: BTreeMap<String, Vec<(i64, Member)>>,
    /// By subject: whether tokens of the workspace must have an expiry, from which revision on.
    requires_expiry: BTreeMap<String, Vec<(i64, bool)>>,
    /// The same of whether they must have been used lately.
    limits_idle: BTreeMap<String, Vec<(i64, bool)>>,
    /// The newest revision that changed what is allowed, or can have.
    newest_change: i64,
}

/// Whether what happens to a subject happens to this token.
pub(super) fn covers(subject: &str, token: &str) -> bool {
    let rest = token.strip_prefix(subject.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The member that a token acts as.
pub(super) fn member_of(token: &str) -> String {
    let (member, _) = token.rsplit_once('/').expect("a subject has parts");
    format!("{member}/")
}

/// The workspace of a token.
pub(super) fn workspace_of(token: &str) -> String {
    let (workspace, _) = token.split_once('/').expect("a subject has parts");
    format!("{workspace}//")
}

/// What holds at a revision, of what holds from which on.
fn held_at<T>(history: &[(i64, T)], revision: i64) -> Option<&T> {
    let later = history.partition_point(|(from, _)| *from <= revision);
    history[..later].last().map(|(_, held)| held)
}

impl Model {
    /// From all events of a feed. A gap, which is a fault of its own, is nothing here.
    pub(super) fn of(events: &[Recorded]) -> Self {
        let mut model = Self::default();
        for event in events {
            model.apply(event);
        }
        model
    }

    fn apply(&mut self, event: &Recorded) {
        let (number, subject) = (event.number, event.subject.as_str());
        while i64::try_from(self.revisions.len()).is_ok_and(|length| length < number) {
            self.revisions.push(String::new());
            self.events.push((String::new(), String::new()));
        }
        self.revisions.push(event.revision());
        self.events.push((event.kind.clone(), subject.to_owned()));
        let details: Value = serde_json::from_str(&event.details).expect("JSON");
        let told = |key: &str| details[key].as_str().expect("it is told").to_owned();
        let member = self.members.get(subject).and_then(|member| member.last());
        let member = member.map(|(_, member)| member.clone());
        let changed = |change: fn(&mut Member, String), to: String| {
            let mut member = member.clone().expect("it was added");
            change(&mut member, to);
            member
        };
        match event.kind.as_str() {
            // They only tell: what they are about holds without them.
            "TOKEN_EXPIRING" | "TOKEN_EXPIRED" | "TOKEN_REUSED" => return,
            _ => self.newest_change = number,
        }
        let member = match event.kind.as_str() {
            "FEED_STARTED" | "WORKSPACE_CREATED" => return,
            "WORKSPACE_UPDATED" => return self.update(subject, number, &details),
            "TOKEN_ISSUED" => return self.issue(subject, number, &details),
            "TOKEN_ROTATED" => return self.rotate(event, &details),
            "TOKEN_REVOKED" | "TOKENS_REVOKED" => return self.end(subject, number),
            "MEMBER_ADDED" => Member {
                role: told("role"),
                state: "active".to_owned(),
            },
            "MEMBER_ROLE_CHANGED" => changed(|member, to| member.role = to, told("to_role")),
            "MEMBER_STATE_CHANGED" => changed(|member, to| member.state = to, told("state")),
            "MEMBER_REMOVED" => {
                self.end(subject, number);
                changed(|member, to| member.state = to, "removed".to_owned())
            }
            kind => panic!("nothing is known about {kind}"),
        };
        let members = self.members.entry(subject.to_owned()).or_default();
        members.push((number, member));
    }

    fn issue(&mut self, subject: &str, number: i64, details: &Value) {
        let life = Life {
            issued: number,
            ended: i64::MAX,
            expires: match details["expires_at"] {
                Value::Null => i64::MAX,
                _ => number,
            },
            reads_users_only: details["scopes"] == json!([ONLY_USERS]),
            is_elsewhere: details["allowed_cidrs"] == json!([ELSEWHERE]),
            is_idle: details["name"]
                .as_str()
                .is_some_and(|name| name.starts_with(IDLE)),
        };
        self.tokens.insert(subject.to_owned(), life);
    }

    /// The token ends with this, or has an expiry from now on.
    fn rotate(&mut self, event: &Recorded, details: &Value) {
        let expires_at = details["expires_at"].as_i64().expect("it is told");
        let life = self.tokens.get_mut(&event.subject);
        let life = life.expect("it was issued");
        let from = match expires_at <= event.at {
            true => &mut life.ended,
            false => &mut life.expires,
        };
        *from = (*from).min(event.number);
    }

    fn update(&mut self, subject: &str, number: i64, details: &Value) {
        let policy = &details["token_policy"];
        if let Some(is_required) = policy["require_expiry"].as_bool() {
            let history = self.requires_expiry.entry(subject.to_owned()).or_default();
            history.push((number, is_required));
            let history = self.limits_idle.entry(subject.to_owned()).or_default();
            history.push((number, policy["idle_limit"].is_i64()));
        }
    }

    fn end(&mut self, subject: &str, number: i64) {
        for (token, life) in &mut self.tokens {
            if covers(subject, token) {
                life.ended = life.ended.min(number);
            }
        }
    }

    /// The newest revision's number.
    pub(super) fn head(&self) -> i64 {
        i64::try_from(self.revisions.len()).expect("not that many") - 1
    }

    /// The newest revision's number, but for those that only tell something.
    pub(super) fn newest_change(&self) -> i64 {
        self.newest_change
    }

    /// The newest revision, as answers carry it.
    pub(super) fn newest(&self) -> &str {
        self.revisions.last().expect("the feed has started")
    }

    /// The number of a revision, if it is one of this feed.
    pub(super) fn number_of(&self, revision: &str) -> Option<i64> {
        let (number, _) = revision.split_once('-')?;
        let number: i64 = number.parse().ok()?;
        let known = self.revisions.get(usize::try_from(number).ok()?)?;
        (known == revision).then_some(number)
    }

    fn member_at(&self, member: &str, revision: i64) -> Option<&Member> {
        held_at(self.members.get(member)?, revision)
    }

    fn requires_expiry(&self, workspace: &str, revision: i64) -> bool {
        let history = self.requires_expiry.get(workspace);
        history.is_some_and(|history| held_at(history, revision) == Some(&true))
    }

    fn limits_idle(&self, workspace: &str, revision: i64) -> bool {
        let history = self.limits_idle.get(workspace);
        history.is_some_and(|history| held_at(history, revision) == Some(&true))
    }

    /// Whether the workspace lets the token be of use, by its expiry.
    fn is_admitted(&self, token: &str, revision: i64) -> bool {
        let life = self.tokens.get(token);
        life.is_some_and(|life| life.expires <= revision)
            || !self.requires_expiry(&workspace_of(token), revision)
    }

    /// Whether a token is good in itself.
    fn is_live(&self, token: &str, revision: i64) -> bool {
        let life = self.tokens.get(token);
        life.is_some_and(|life| (life.issued..life.ended).contains(&revision))
    }

    /// Whether the state after this revision allows it.
    pub(super) fn allows(&self, token: &str, ask: Ask, revision: i64) -> bool {
        let Some(member) = self.member_at(&member_of(token), revision) else {
            return false;
        };
        let is_limited = self.tokens.get(token).is_some_and(|life| {
            life.is_elsewhere
                || (life.reads_users_only && ask != Ask::Users)
                || (life.is_idle && self.limits_idle(&workspace_of(token), revision))
        });
        self.is_live(token, revision)
            && self.is_admitted(token, revision)
            && !is_limited
            && member.state == "active"
            && (ask == Ask::Own || member.role == "admin")
    }

    /// Whether any of these revisions' states answers so.
    pub(super) fn ever_answers(
        &self,
        token: &str,
        ask: Ask,
        mut revisions: RangeInclusive<i64>,
        allow: bool,
    ) -> bool {
        let life = self.tokens.get(token);
        let life = life
            .iter()
            .flat_map(|life| [life.issued, life.ended, life.expires]);
        let member = self.members.get(&member_of(token));
        let member = member.into_iter().flatten().map(|(from, _)| *from);
        // Both are told with each change of a policy.
        let policy = self.requires_expiry.get(&workspace_of(token));
        let policy = policy.into_iter().flatten().map(|(from, _)| *from);
        let changes = life.chain(member).chain(policy);
        // The answer is the same from one change to the next.
        let mut candidates = changes
            .filter(|from| revisions.contains(from))
            .collect::<Vec<_>>();
        candidates.extend(revisions.next());
        let mut candidates = candidates.into_iter();
        candidates.any(|revision| self.allows(token, ask, revision) == allow)
    }

    /// Whether the event at this revision is what the mutation would have made.
    pub(super) fn is_made_at(&self, intent: Intent, subject: &str, revision: i64) -> bool {
        let kinds: &[&str] = match intent {
            Intent::Issue => &["TOKEN_ISSUED"],
            Intent::Rotate { .. } => &["TOKEN_ROTATED"],
            Intent::Revoke => &["TOKEN_REVOKED"],
            Intent::RevokeAll => &["TOKENS_REVOKED"],
            Intent::Put(_) | Intent::SetRole(_) => &["MEMBER_ADDED", "MEMBER_ROLE_CHANGED"],
            Intent::Suspend | Intent::Reactivate => &["MEMBER_STATE_CHANGED"],
            Intent::Remove => &["MEMBER_REMOVED"],
            Intent::RequireExpiry(_) | Intent::LimitIdle(_) => &["WORKSPACE_UPDATED"],
        };
        let index = usize::try_from(revision).expect("a revision");
        let (kind, about) = &self.events[index];
        kinds.contains(&kind.as_str()) && about == subject
    }

    /// Whether the state after this revision is what the mutation was to bring about, by itself or as it was so before.
    pub(super) fn is_done_at(&self, intent: Intent, subject: &str, revision: i64) -> bool {
        let member = self.member_at(subject, revision);
        let is = |wanted: &str| member.is_some_and(|member| member.state == wanted);
        match intent {
            Intent::Issue => {
                self.is_made_at(intent, subject, revision) && self.is_admitted(subject, revision)
            }
            Intent::Rotate { overlaps, .. } => {
                self.is_made_at(intent, subject, revision)
                    && self.is_admitted(subject, revision)
                    && self.is_live(subject, revision) == overlaps
            }
            Intent::Revoke => !self.is_live(subject, revision),
            Intent::RevokeAll => self.is_made_at(intent, subject, revision) || is("removed"),
            Intent::Put(role) | Intent::SetRole(role) => {
                member.is_some_and(|member| member.role == role && member.state != "removed")
            }
            Intent::Suspend => is("suspended"),
            Intent::Reactivate => is("active"),
            Intent::Remove => is("removed"),
            Intent::RequireExpiry(is_required) => {
                self.requires_expiry(subject, revision) == is_required
            }
            Intent::LimitIdle(is_limited) => self.limits_idle(subject, revision) == is_limited,
        }
    }
}
