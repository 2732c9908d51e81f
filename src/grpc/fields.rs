//! Reading requests: each field is checked, every fault is collected, and all of them are answered at once.

use std::time::Duration;

use crate::{
    domain::{
        access,
        caller::Caller,
        error::{Error, Problem, ProblemReason, Violation},
        ids::{MemberId, MemberKey, WorkspaceId},
        page,
        time::Timestamp,
        token::Origin,
    },
    pb,
    service::PageRequest,
};

/// How many faults are told at most, so that a batch gone wrong is not answered at length.
const MAX_FAULTS: usize = 20;

/// The faults of one request.
#[derive(Default)]
pub(super) struct Fields {
    faults: Vec<Violation>,
    /// What the names of the fields being read begin with.
    prefix: String,
}

impl Fields {
    /// The value of a field, or None and its fault kept.
    pub(super) fn read<T>(&mut self, field: &str, value: Result<T, Problem>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(problem) => {
                if self.faults.len() < MAX_FAULTS {
                    self.faults
                        .push(problem.of(format!("{}{field}", self.prefix)));
                }
                None
            }
        }
    }

    /// Names what is read from now on as parts of this.
    pub(super) fn within(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    /// The items of a field that holds up to `limit` of them, each fault under the item's place. Of too many none is read.
    pub(super) fn list<T>(
        &mut self,
        field: &str,
        texts: &[String],
        limit: usize,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        if texts.len() > limit {
            return self.read(field, Err(Problem::too_long(limit, "entries")));
        }
        let items = texts.iter().enumerate();
        let items: Vec<Option<T>> = items
            .map(|(i, text)| self.read(&format!("{field}[{i}]"), parse(text)))
            .collect();
        items.into_iter().collect()
    }

    /// A member named by its two fields.
    pub(super) fn member(&mut self, workspace_id: &str, member_id: &str) -> Option<MemberKey> {
        let workspace_id = self.read("workspace_id", WorkspaceId::parse(workspace_id));
        let member_id = self.read("member_id", MemberId::parse(member_id));
        Some(MemberKey {
            workspace_id: workspace_id?,
            member_id: member_id?,
        })
    }

    /// A text that may be left out, by being empty (`Some(None)`).
    pub(super) fn optional<T>(
        &mut self,
        field: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<Option<T>> {
        match text.is_empty() {
            true => Some(None),
            false => self.read(field, parse(text)).map(Some),
        }
    }

    /// A workspace that may be left out.
    pub(super) fn optional_workspace(&mut self, id: &str) -> Option<Option<WorkspaceId>> {
        self.optional("workspace_id", id, WorkspaceId::parse)
    }

    /// A member that may be left out.
    pub(super) fn optional_member(&mut self, member_id: &str) -> Option<Option<MemberId>> {
        self.optional("member_id", member_id, MemberId::parse)
    }

    /// An instant that may be left out (`Some(None)`).
    pub(super) fn optional_instant(
        &mut self,
        field: &str,
        value: Option<prost_types::Timestamp>,
    ) -> Option<Option<Timestamp>> {
        match value {
            None => Some(None),
            Some(value) => self.read(field, timestamp(&value)).map(Some),
        }
    }

    /// A value whose check depends on the time. Its fault is told together with others; where it is the only one it is left
    /// to whoever carries out the request: one that was carried out before is answered however late it comes again.
    pub(super) fn read_late<T>(
        &mut self,
        field: &str,
        value: T,
        check: Result<(), Problem>,
    ) -> Option<T> {
        self.read(field, check);
        Some(value)
    }

    /// On whose behalf the request is: its caller's, and the actor's if there is one.
    pub(super) fn origin(&mut self, caller: &Caller, actor: Option<&pb::Actor>) -> Option<Origin> {
        let actor = self.actor(actor)?;
        Some(Origin {
            caller: caller.name.clone(),
            actor,
        })
    }

    /// A member on whose behalf something is done, which may be left out (`Some(None)`).
    pub(super) fn actor(&mut self, actor: Option<&pb::Actor>) -> Option<Option<MemberKey>> {
        let Some(actor) = actor else {
            return Some(None);
        };
        let workspace_id = WorkspaceId::parse(&actor.workspace_id);
        let workspace_id = self.read("actor.workspace_id", workspace_id);
        let member_id = self.read("actor.member_id", MemberId::parse(&actor.member_id));
        Some(Some(MemberKey {
            workspace_id: workspace_id?,
            member_id: member_id?,
        }))
    }

    /// The same for requests in which a caller that acts for members has to name one.
    pub(super) fn origin_of_member(
        &mut self,
        caller: &Caller,
        actor: Option<&pb::Actor>,
    ) -> Option<Origin> {
        let origin = self.origin(caller, actor)?;
        let required = access::require_actor(caller, origin.actor.as_ref());
        self.read("actor", required)?;
        Some(origin)
    }

    /// The page that is asked for.
    pub(super) fn page(&mut self, size: i32, token: String) -> Option<PageRequest> {
        let size = self.read("page_size", page::parse_size(size))?;
        Some(PageRequest { size, token })
    }

    /// The error of the faults there are.
    pub(super) fn into_error(self) -> Error {
        Error::Invalid(self.faults)
    }

    /// Refuses if there is any fault.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.faults.is_empty() {
            true => Ok(()),
            false => Err(self.into_error()),
        }
    }
}

/// The one form of a flag that means something by being there.
pub(super) fn only_true(value: bool) -> Result<(), Problem> {
    match value {
        true => Ok(()),
        false => Err(Problem::new(
            ProblemReason::Malformed,
            "must be `true` or left out",
        )),
    }
}

/// An instant, to the millisecond.
pub(super) fn timestamp(value: &prost_types::Timestamp) -> Result<Timestamp, Problem> {
    // The bounds of `google.protobuf.Timestamp`: the years 1 to 9999.
    let seconds = -62_135_596_800..=253_402_300_799;
    if !seconds.contains(&value.seconds) || !(0..1_000_000_000).contains(&value.nanos) {
        return Err(Problem::new(
            ProblemReason::Malformed,
            "is not a valid timestamp",
        ));
    }
    Ok(Timestamp(
        value.seconds * 1000 + i64::from(value.nanos / 1_000_000),
    ))
}

/// A time span of at least a millisecond, to the millisecond.
pub(super) fn duration(value: &prost_types::Duration) -> Result<Duration, Problem> {
    match span(value)? {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(Problem::new(
            ProblemReason::OutOfRange,
            "must be at least 1 millisecond",
        )),
    }
}

/// A time span that may be none, to the millisecond, of at most so many days.
pub(super) fn duration_up_to(
    value: &prost_types::Duration,
    days: u32,
) -> Result<Duration, Problem> {
    let limit = Duration::from_secs(24 * 60 * 60) * days;
    match span(value)? {
        Some(duration) if duration <= limit => Ok(duration),
        _ => {
            let limit = format!("{days} days");
            let told = format!("must be between 0 and {limit}");
            Err(Problem::new(ProblemReason::OutOfRange, told).with("limit", limit))
        }
    }
}

/// A time span, to the millisecond. None: it is negative.
fn span(value: &prost_types::Duration) -> Result<Option<Duration>, Problem> {
    // The bounds of `google.protobuf.Duration`; seconds and nanos have one sign.
    let is_valid = (-315_576_000_000..=315_576_000_000).contains(&value.seconds)
        && (-999_999_999..=999_999_999).contains(&value.nanos)
        && value.seconds.signum() * i64::from(value.nanos.signum()) >= 0;
    if !is_valid {
        return Err(Problem::new(
            ProblemReason::Malformed,
            "is not a valid duration",
        ));
    }
    if value.seconds < 0 || value.nanos < 0 {
        return Ok(None);
    }
    let millis = u64::try_from(value.seconds * 1000 + i64::from(value.nanos / 1_000_000));
    Ok(millis.ok().map(Duration::from_millis))
}
