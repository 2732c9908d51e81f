//! The policy: the actions that exist and how far each role may do them, compiled into a table so that a decision is a
//! lookup.

mod file;

use std::{collections::BTreeMap, fmt};

use hashbrown::HashMap;

use super::action::Action;

/// The policy of a service that configures none.
const EMBEDDED: &str = include_str!("policy.toml");

/// How far a role may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// To the member's own.
    Own,
    /// To everything in the workspace.
    Workspace,
}

impl Reach {
    /// The name in tables for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "OWN",
            Self::Workspace => "WORKSPACE",
        }
    }
}

/// A compiled policy. Only [`Policy::parse`] makes one, so every policy there is respects the token ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Every declared action, with its column in the roles' rows.
    actions: BTreeMap<String, DeclaredAction>,
    /// The same, found at once. Nobody but the file puts anything in, so it need not resist made-up collisions.
    by_text: HashMap<String, DeclaredAction>,
    roles: BTreeMap<String, Role>,
    hash: String,
}

/// What a policy declares of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredAction {
    column: usize,
    /// Whether it lists a collection.
    pub is_collection: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Role {
    oversees_tokens: bool,
    /// By the action's column.
    rules: Vec<Option<Rule>>,
}

/// What lets a role do an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// How far.
    pub reach: Reach,
    /// The entry of the file, such as `roles.member.own: bookings.*`.
    pub entry: String,
}

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct PolicyFault {
    /// The line of the file, from 1.
    pub line: usize,
    /// One sentence.
    pub message: String,
}

impl Policy {
    /// Compiles a policy file. Refuses one that is ill formed, names what it does not declare, or grants what is above the
    /// token ceiling; all faults are told.
    pub fn parse(text: &str) -> Result<Self, Vec<PolicyFault>> {
        file::compile(text)
    }

    /// The default policy.
    pub fn embedded() -> Result<Self, Vec<PolicyFault>> {
        Self::parse(EMBEDDED)
    }

    /// The action's declaration, if it has one.
    pub fn declared(&self, action: &Action) -> Option<DeclaredAction> {
        self.by_text.get(action.as_str()).copied()
    }

    /// The rule that lets the role do the action. None: it may not at all, or the role or the action is not in the policy.
    pub fn rule(&self, role: &str, action: &Action) -> Option<&Rule> {
        self.rule_of(role, action, self.declared(action)?)
    }

    /// The same, of an action whose declaration has been found.
    pub fn rule_of(&self, role: &str, action: &Action, declared: DeclaredAction) -> Option<&Rule> {
        // The ceiling once more, at the only place a reach comes from: a policy above it cannot be made, and if one
        // could, it would still grant nothing.
        if action.is_above_token_ceiling() {
            return None;
        }
        self.roles.get(role)?.rules.get(declared.column)?.as_ref()
    }

    /// Whether the policy has the role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.contains_key(role)
    }

    /// The names of the roles, in order.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    /// The declared actions, in order.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.keys().map(String::as_str)
    }

    /// Whether the role lists and revokes the tokens of every member of its workspace.
    pub fn oversees_tokens(&self, role: &str) -> bool {
        self.roles
            .get(role)
            .is_some_and(|role| role.oversees_tokens)
    }

    /// Names what the policy says, whatever its file looks like: 32 hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// The table of reaches, an action a row and a role a column.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.actions.keys().map(String::len).max().unwrap_or(0);
        let first = first.max("oversees tokens".len());
        let widths: Vec<usize> = self.roles.keys().map(|role| role.len().max(9)).collect();
        let line = |f: &mut fmt::Formatter<'_>, head: &str, cells: Vec<&str>| {
            let mut text = format!("{head:first$}");
            for (cell, width) in cells.iter().zip(&widths) {
                text.push_str(&format!("  {cell:width$}"));
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(f, "action", self.roles().collect())?;
        for (action, declared) in &self.actions {
            let cells = self
                .roles
                .values()
                .map(|role| match role.rules.get(declared.column) {
                    Some(Some(rule)) => rule.reach.as_str(),
                    _ => "-",
                });
            line(f, action, cells.collect())?;
        }
        let oversight = self.roles.values().map(|role| match role.oversees_tokens {
            true => "yes",
            false => "no",
        });
        line(f, "oversees tokens", oversight.collect())
    }
}
