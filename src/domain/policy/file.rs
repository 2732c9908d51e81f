//! The policy file (TOML) and its compilation. Every fault is told with its line.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use serde::Deserialize;
use toml::Spanned;

use super::{DeclaredAction, Policy, PolicyFault, Reach, Role, Rule};
use crate::domain::{
    action::{Action, is_kebab},
    ids::RoleName,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    resources: BTreeMap<Spanned<String>, ResourceEntry>,
    #[serde(default)]
    roles: BTreeMap<Spanned<String>, RoleEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceEntry {
    verbs: Vec<Spanned<String>>,
    #[serde(default)]
    collection: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleEntry {
    #[serde(default)]
    include: Vec<Spanned<String>>,
    #[serde(default)]
    oversees_tokens: bool,
    #[serde(default)]
    own: Vec<Spanned<String>>,
    #[serde(default)]
    workspace: Vec<Spanned<String>>,
}

/// Compiles the text of a policy file.
pub(super) fn compile(text: &str) -> Result<Policy, Vec<PolicyFault>> {
    let file: File = toml::from_str(text).map_err(|error| {
        vec![PolicyFault {
            line: line_at(text, error.span().unwrap_or_default().start),
            message: error.message().replace('\n', " "),
        }]
    })?;
    let mut compiler = Compiler {
        text,
        faults: Vec::new(),
    };
    let actions = compiler.actions(&file.resources);
    let roles = compiler.roles(&file.roles, &actions);
    if compiler.faults.is_empty() {
        let hash = hash(&actions, &roles);
        let found = actions.iter();
        return Ok(Policy {
            by_text: found.map(|(text, found)| (text.clone(), *found)).collect(),
            actions,
            roles,
            hash,
        });
    }
    compiler.faults.sort_by_key(|fault| fault.line);
    Err(compiler.faults)
}

struct Compiler<'a> {
    text: &'a str,
    faults: Vec<PolicyFault>,
}

impl Compiler<'_> {
    fn fault(&mut self, span: Range<usize>, message: String) {
        self.faults.push(PolicyFault {
            line: line_at(self.text, span.start),
            message,
        });
    }

    fn actions(
        &mut self,
        resources: &BTreeMap<Spanned<String>, ResourceEntry>,
    ) -> BTreeMap<String, DeclaredAction> {
        let mut actions = BTreeMap::new();
        for (name, entry) in resources {
            if !is_kebab(name.get_ref()) {
                let message = format!("resource type `{}` is not lower-case kebab", name.get_ref());
                self.fault(name.span(), message);
                continue;
            }
            for verb in &entry.verbs {
                let text = format!("{}.{}", name.get_ref(), verb.get_ref());
                let declared = DeclaredAction {
                    column: 0,
                    is_collection: entry
                        .collection
                        .iter()
                        .any(|listed| listed.get_ref() == verb.get_ref()),
                };
                match Action::parse(&text) {
                    Err(problem) => {
                        self.fault(verb.span(), format!("`{text}` {}", problem.description));
                    }
                    Ok(_) if actions.insert(text.clone(), declared).is_some() => {
                        self.fault(verb.span(), format!("`{text}` is declared twice"));
                    }
                    Ok(_) => {}
                }
            }
            for listed in &entry.collection {
                if !entry
                    .verbs
                    .iter()
                    .any(|verb| verb.get_ref() == listed.get_ref())
                {
                    let message = format!("`{}` is not among the verbs", listed.get_ref());
                    self.fault(listed.span(), message);
                }
            }
        }
        for (column, declared) in actions.values_mut().enumerate() {
            declared.column = column;
        }
        actions
    }

    fn roles(
        &mut self,
        entries: &BTreeMap<Spanned<String>, RoleEntry>,
        actions: &BTreeMap<String, DeclaredAction>,
    ) -> BTreeMap<String, Role> {
        if entries.is_empty() {
            self.fault(0..0, "there is no role".to_owned());
        }
        let by_name: BTreeMap<&str, &RoleEntry> = entries
            .iter()
            .map(|(name, entry)| (name.get_ref().as_str(), entry))
            .collect();
        let mut direct = BTreeMap::new();
        for (name, entry) in entries {
            if let Err(problem) = RoleName::parse(name.get_ref()) {
                let message = format!("role `{}` {}", name.get_ref(), problem.description);
                self.fault(name.span(), message);
            }
            for included in &entry.include {
                if !by_name.contains_key(included.get_ref().as_str()) {
                    let message = format!("there is no role `{}` to include", included.get_ref());
                    self.fault(included.span(), message);
                }
            }
            let mut role = Role {
                oversees_tokens: entry.oversees_tokens,
                rules: vec![None; actions.len()],
            };
            let key = format!("roles.{}", name.get_ref());
            for (list, reach, patterns) in [
                ("own", Reach::Own, &entry.own),
                ("workspace", Reach::Workspace, &entry.workspace),
            ] {
                self.grant(
                    &mut role,
                    &format!("{key}.{list}"),
                    reach,
                    patterns,
                    actions,
                );
            }
            direct.insert(name.get_ref().as_str(), role);
        }
        let mut roles = BTreeMap::new();
        for (name, entry) in entries {
            let mut included = BTreeSet::new();
            let mut open: Vec<&str> = names(&entry.include);
            while let Some(next) = open.pop() {
                if included.insert(next) {
                    open.extend(
                        by_name
                            .get(next)
                            .map_or_else(Vec::new, |e| names(&e.include)),
                    );
                }
            }
            if included.contains(name.get_ref().as_str()) {
                let message = format!("role `{}` includes itself", name.get_ref());
                self.fault(name.span(), message);
            }
            let mut role = direct[name.get_ref().as_str()].clone();
            for other in included.iter().filter_map(|name| direct.get(name)) {
                role.oversees_tokens |= other.oversees_tokens;
                for (mine, theirs) in role.rules.iter_mut().zip(&other.rules) {
                    take_further(mine, theirs);
                }
            }
            roles.insert(name.get_ref().clone(), role);
        }
        roles
    }

    /// Adds what the patterns stand for to a role, the further reach winning.
    fn grant(
        &mut self,
        role: &mut Role,
        list: &str,
        reach: Reach,
        patterns: &[Spanned<String>],
        actions: &BTreeMap<String, DeclaredAction>,
    ) {
        for pattern in patterns {
            let text = pattern.get_ref();
            let matched: Vec<_> = actions
                .iter()
                .filter(|(name, _)| Action::parse(name).is_ok_and(|action| action.is_one_of(text)))
                .collect();
            // Asked before whether it is declared: the ceiling stands whatever the file declares.
            let named = Action::parse(text).ok();
            let matched_actions = matched
                .iter()
                .filter_map(|(name, _)| Action::parse(name).ok());
            let above = named
                .into_iter()
                .chain(matched_actions)
                .find(Action::is_above_token_ceiling);
            if let Some(action) = above {
                let message = format!("`{action}` is above what any token may do");
                self.fault(pattern.span(), message);
            } else if matched.is_empty() {
                self.fault(
                    pattern.span(),
                    format!("`{text}` matches no declared action"),
                );
            }
            let rule = Some(Rule {
                reach,
                entry: format!("{list}: {text}"),
            });
            for (_, declared) in matched {
                take_further(&mut role.rules[declared.column], &rule);
            }
        }
    }
}

/// The further reach wins; of two equal ones the role's own, or the first.
fn take_further(mine: &mut Option<Rule>, theirs: &Option<Rule>) {
    let reach = |rule: &Option<Rule>| rule.as_ref().map(|rule| rule.reach);
    if reach(theirs) > reach(mine) {
        mine.clone_from(theirs);
    }
}

fn names(list: &[Spanned<String>]) -> Vec<&str> {
    list.iter().map(|name| name.get_ref().as_str()).collect()
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}

fn hash(actions: &BTreeMap<String, DeclaredAction>, roles: &BTreeMap<String, Role>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (action, declared) in actions {
        hasher.update(format!("{action} {}\n", declared.is_collection).as_bytes());
    }
    for (name, role) in roles {
        hasher.update(format!("{name} {}\n", role.oversees_tokens).as_bytes());
        for (action, declared) in actions {
            let reach = role.rules[declared.column].as_ref().map(|rule| rule.reach);
            hasher.update(format!("{action} {reach:?}\n").as_bytes());
        }
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
