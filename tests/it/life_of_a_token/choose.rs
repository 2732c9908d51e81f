//! Which step comes next: by chance, and so that what is close to an edge, or was there before, comes often.

use countersign::pb::{BatchMode, MemberState, TokenState, WorkspaceState};

use super::{
    decide::ADDRESSES,
    model::Model,
    steps::{
        Ask, By, Caller, Context, DAY, Expiry, Issue, Key, List, Millis, Owner, PARTS, Policy,
        Rotate, SECOND, Secret, Step, Target, Update,
    },
    tokens::SAME_NAMES,
};
use crate::support::random::Random;

const WORKSPACES: usize = 3;
const MEMBERS: usize = 3;
const ROLES: [&str; 2] = ["member", "admin"];
const REQUEST_IDS: usize = 12;
/// A caller may name so many tokens by their secret in a second.
const BY_SECRET: usize = 15;
const SPANS: [Millis; 7] = [1, 2, SECOND, DAY, 2 * DAY, 7 * DAY, 40 * DAY];
const OVERLAPS: [Millis; 6] = [0, 0, 1, SECOND, DAY, 7 * DAY];
const LIFETIMES: [Option<Millis>; 5] = [None, None, Some(SECOND), Some(DAY), Some(30 * DAY)];
const SCOPES: [&[&str]; 5] = [
    &[],
    &[],
    &["bookings.*"],
    &["*.read", "users.list"],
    &["appointments.list"],
];
const NETWORKS: [&[&str]; 4] = [
    &[],
    &[],
    &["192.0.2.0/24"],
    &["192.0.2.0/24", "2001:db8::/32"],
];
const ACTIONS: [&str; 12] = [
    "bookings.read",
    "bookings.create",
    "bookings.list",
    "bookings.fly",
    "appointments.read",
    "appointments.list",
    "availability.update",
    "users.list",
    "users.read",
    "users.delete",
    "tokens.create",
    "members.update",
];
const REASONS: [&str; 2] = ["", "no longer needed"];
/// Chooses the steps of one history.
pub(super) struct Chooser {
    random: Random,
    /// Steps with a request id.
    named: Vec<Step>,
    /// How many were named by secret since the clock last moved by a second.
    by_secret: usize,
    /// Until when it has to be.
    second: Millis,
    names: usize,
}

impl Chooser {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            named: Vec::new(),
            by_secret: 0,
            second: 0,
            names: 0,
        }
    }

    /// The next step, given how things stand.
    pub(super) fn choose(&mut self, model: &Model) -> Step {
        if model.now >= self.second {
            self.second = model.now + SECOND;
            self.by_secret = 0;
        }
        if model.workspaces.len() < WORKSPACES && self.random.below(3) == 0 {
            return Step::CreateWorkspace(model.workspaces.len(), "Workspace".to_owned());
        }
        let by = self.by(model);
        match self.random.below(100) {
            0..10 => Step::Time(self.time(model)),
            10..24 => self.named_or(|this| {
                let (key, request) = (this.near(by), this.request());
                Step::Issue(by, this.issue(model, key), request)
            }),
            24..32 => self.named_or(|this| {
                let token = this.token(model);
                let by = this.for_owner(by, token, model);
                let rotate = Rotate {
                    token,
                    expiry: this.expiry(model),
                    overlap: this.one(&OVERLAPS),
                };
                Step::Rotate(by, rotate, this.request())
            }),
            32..39 => self.named_or(|this| {
                let (target, request) = (this.target(model), this.request());
                Step::Revoke(by, target, this.one(&REASONS), request)
            }),
            39 => {
                let Key { workspace, member } = self.near(by);
                let member = (self.random.below(3) > 0).then_some(member);
                Step::RevokeAll(by, workspace, member, self.one(&REASONS))
            }
            40 => self.leaked(model),
            41..54 => self.of_directory(),
            54..61 => Step::UpdateWorkspace(self.update()),
            61..85 => Step::Authorize(self.secret(model), self.ask(), self.context()),
            85..89 => self.batch(model),
            89..92 => Step::Permissions(self.secret(model), self.context()),
            92..95 => Step::GetToken(by, self.target(model)),
            95..98 => Step::ListTokens(by, self.list(model, by)),
            98 => Step::GetMember(self.key()),
            _ => Step::GetWorkspace(self.random.below(WORKSPACES)),
        }
    }

    /// Now and then a step that was there before, under its id.
    fn named_or(&mut self, make: impl FnOnce(&mut Self) -> Step) -> Step {
        if !self.named.is_empty() && self.random.below(5) == 0 {
            return self.random.pick(&self.named).clone();
        }
        let step = make(self);
        if let Step::Issue(.., Some(_)) | Step::Rotate(.., Some(_)) = &step {
            self.named.push(step.clone());
        }
        // By secret there may be too many in a second.
        if let Step::Revoke(_, Target::Id(_), _, Some(_)) = &step {
            self.named.push(step.clone());
        }
        step
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *self.random.pick(of)
    }

    fn request(&mut self) -> Option<usize> {
        (self.random.below(4) == 0).then(|| self.random.below(REQUEST_IDS))
    }

    fn key(&mut self) -> Key {
        Key {
            workspace: self.random.below(WORKSPACES),
            member: self.random.below(MEMBERS),
        }
    }

    /// Somebody, and of those the actor most often.
    fn near(&mut self, by: By) -> Key {
        match by.actor {
            Some(actor) if self.random.below(4) > 0 => actor,
            _ => self.key(),
        }
    }

    fn by(&mut self, model: &Model) -> By {
        let caller = match self.random.below(5) {
            0 | 1 => Caller::Dashboard,
            _ => Caller::Platform,
        };
        let is_named = match caller {
            Caller::Dashboard => self.random.below(8) > 0,
            Caller::Platform => self.random.below(5) == 0,
        };
        // Somebody whose tokens there are, or anybody.
        let owner = self.token(model).map(|number| model.tokens[number].member);
        let actor = owner.filter(|_| self.random.below(2) == 0);
        let anybody = self.key();
        By {
            caller,
            actor: is_named.then(|| actor.unwrap_or(anybody)),
        }
    }

    /// For whoever the token acts as, most often.
    fn for_owner(&mut self, by: By, token: Option<usize>, model: &Model) -> By {
        let owner = token.map(|number| model.tokens[number].member);
        match owner.filter(|_| by.actor.is_some() && self.random.below(4) > 0) {
            None => by,
            actor => By { actor, ..by },
        }
    }

    /// One of the tokens: the newest and those that live most often.
    fn token(&mut self, model: &Model) -> Option<usize> {
        let all = model.tokens.len();
        let is_live = |number: &usize| model.state(&model.tokens[*number]) == TokenState::Active;
        let live: Vec<usize> = (0..all).filter(is_live).collect();
        if !live.is_empty() && self.random.below(2) == 0 {
            return Some(self.one(&live));
        }
        let some = match self.random.below(3) {
            0 => all,
            _ => all.min(8),
        };
        (some > 0).then(|| all - 1 - self.random.below(some))
    }

    fn secret(&mut self, model: &Model) -> Secret {
        match (self.random.below(40), self.token(model)) {
            (0, _) | (_, None) => Secret::Unknown,
            (1, _) => Secret::Malformed,
            (_, Some(number)) => Secret::Of(number),
        }
    }

    fn target(&mut self, model: &Model) -> Target {
        if self.random.below(4) == 0 && self.by_secret < BY_SECRET {
            self.by_secret += 1;
            return Target::Secret(self.secret(model));
        }
        match (self.random.below(20), self.token(model)) {
            (0, _) | (_, None) => Target::UnknownId,
            (_, Some(number)) => Target::Id(number),
        }
    }

    fn leaked(&mut self, model: &Model) -> Step {
        let mut secrets = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            secrets.push(self.secret(model));
        }
        if self.by_secret + secrets.len() > BY_SECRET {
            return Step::Time(model.now + SECOND);
        }
        self.by_secret += secrets.len();
        let caller = self.one(&[Caller::Platform, Caller::Dashboard]);
        Step::RevokeLeaked(caller, secrets, self.one(&["", "a log"]))
    }

    /// Later: by some time, or to just before, at, or just after the end of a token.
    fn time(&mut self, model: &Model) -> Millis {
        let edge = self.token(model).and_then(|number| {
            let token = &model.tokens[number];
            model.ends_at(token, &model.policy_of(token))
        });
        let near = edge.map(|edge| edge - 1 + Millis::try_from(self.random.below(3)).expect("few"));
        match near {
            Some(at) if at > model.now && at - model.now < 3 * DAY => at,
            _ => model.now + self.one(&SPANS[..4]),
        }
    }

    fn expiry(&mut self, model: &Model) -> Expiry {
        let span = self.one(&SPANS);
        match self.random.below(8) {
            0..3 => Expiry::Unset,
            3 => Expiry::Never,
            4 if self.random.below(5) == 0 => Expiry::At(model.now),
            4 | 5 => Expiry::At(model.now + span),
            _ => Expiry::Ttl(span),
        }
    }

    fn issue(&mut self, model: &Model, member: Key) -> Issue {
        let name = match self.random.below(2) {
            0 => self.random.pick(&SAME_NAMES).0.to_owned(),
            _ => {
                self.names += 1;
                format!("token {}", self.names)
            }
        };
        Issue {
            member,
            name,
            expiry: self.expiry(model),
            scopes: self.one(&SCOPES),
            networks: self.one(&NETWORKS),
        }
    }

    fn of_directory(&mut self) -> Step {
        let (key, role) = (self.key(), self.one(&ROLES));
        let states = [
            MemberState::Active,
            MemberState::Active,
            MemberState::Suspended,
        ];
        match self.random.below(24) {
            0..10 => Step::PutMember(key, role),
            10..14 => Step::SetRole(key, role),
            14..19 => Step::SetState(key, self.one(&states)),
            19 | 20 => Step::Remove(key),
            21 | 22 => Step::CreateWorkspace(key.workspace, "Anew".to_owned()),
            _ if self.random.below(2) == 0 => Step::DeleteWorkspace(key.workspace),
            _ => Step::PutMember(key, role),
        }
    }

    fn update(&mut self) -> Update {
        let states = [
            WorkspaceState::Active,
            WorkspaceState::Active,
            WorkspaceState::Suspended,
        ];
        let parts = match self.random.below(3) {
            0 => PARTS.to_vec(),
            _ => vec![self.one(&PARTS)],
        };
        // Most often it asks little, so that most tokens live.
        let is_strict = self.random.below(3) == 0;
        let policy = Policy {
            require_expiry: is_strict,
            max_lifetime: self.random.pick(&LIFETIMES).filter(|_| is_strict),
            default_lifetime: self.one(&LIFETIMES),
            max_live_tokens: self.one(&[0, 0, 1, 2, 4]),
        };
        Update {
            workspace: self.random.below(WORKSPACES),
            name: (self.random.below(4) == 0).then(|| "Renamed".to_owned()),
            state: (self.random.below(4) == 0).then(|| self.one(&states)),
            policy,
            parts,
            validate_only: self.random.below(3) == 0,
        }
    }

    fn ask(&mut self) -> Ask {
        let workspace = self.random.below(WORKSPACES);
        let owner = match self.random.below(5) {
            0 => Owner::Nobody,
            1 => Owner::Collection,
            2 => Owner::Member(self.random.below(MEMBERS)),
            _ => Owner::Bearer,
        };
        let may_be_left_out = matches!(owner, Owner::Bearer | Owner::Collection);
        let is_told = !may_be_left_out || self.random.below(3) == 0;
        Ask {
            action: self.one(&ACTIONS),
            workspace: is_told.then_some(workspace),
            owner,
        }
    }

    fn context(&mut self) -> Context {
        Context {
            client_ip: self.one(&ADDRESSES),
            on_behalf_of: (self.random.below(8) == 0).then(|| self.random.below(MEMBERS)),
        }
    }

    fn batch(&mut self, model: &Model) -> Step {
        let mut asks = Vec::new();
        for _ in 0..1 + self.random.below(6) {
            asks.push(self.ask());
        }
        let modes = [
            BatchMode::All,
            BatchMode::StopAtFirstDeny,
            BatchMode::StopAtFirstAllow,
        ];
        let mode = self.one(&modes);
        Step::Batch(self.secret(model), asks, mode, self.context())
    }

    fn list(&mut self, model: &Model, by: By) -> List {
        let Key { workspace, member } = self.near(by);
        let states = [TokenState::Active, TokenState::Expired, TokenState::Revoked];
        let mut states = states.to_vec();
        states.retain(|_| self.random.below(3) == 0);
        List {
            workspace,
            member: (self.random.below(2) == 0).then_some(member),
            states,
            expires_before: (self.random.below(3) == 0).then(|| model.now + self.one(&SPANS)),
        }
    }
}
