//! What can be wrong with one field of a request.

/// What is wrong with one field, apart from the field's name: that is added by whoever knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The stable reason.
    pub reason: ProblemReason,
    /// A sentence without the field's name, such as "must be at most 64 characters".
    pub description: String,
    /// The variables of the sentence.
    pub metadata: Vec<(&'static str, String)>,
}

/// Why a field was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemReason {
    /// It is missing or empty.
    Required,
    /// It is longer than its limit.
    TooLong,
    /// It is not of the required form.
    Malformed,
    /// It is a well-formed value outside its bounds.
    OutOfRange,
    /// It contradicts another field.
    Conflict,
    /// It names a role that the running policy lacks.
    RoleUnknown,
    /// It is a scope that matches no action of the running policy.
    ScopeUnknown,
    /// It is a scope that stands for what no token may do.
    ScopeAboveTokenCeiling,
    /// It is not a page token made here for this filter.
    PageTokenInvalid,
    /// The caller acts for members and named none.
    ActorRequired,
}

impl ProblemReason {
    /// The stable name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "FIELD_REQUIRED",
            Self::TooLong => "FIELD_TOO_LONG",
            Self::Malformed => "FIELD_MALFORMED",
            Self::OutOfRange => "FIELD_OUT_OF_RANGE",
            Self::Conflict => "FIELD_CONFLICT",
            Self::RoleUnknown => "ROLE_UNKNOWN",
            Self::ScopeUnknown => "SCOPE_UNKNOWN",
            Self::ScopeAboveTokenCeiling => "SCOPE_ABOVE_TOKEN_CEILING",
            Self::PageTokenInvalid => "PAGE_TOKEN_INVALID",
            Self::ActorRequired => "ACTOR_REQUIRED",
        }
    }
}

impl Problem {
    /// A problem whose sentence has no variables.
    pub fn new(reason: ProblemReason, description: impl Into<String>) -> Self {
        Self {
            reason,
            description: description.into(),
            metadata: Vec::new(),
        }
    }

    /// The field is missing or empty.
    pub fn required() -> Self {
        Self::new(ProblemReason::Required, "is required")
    }

    /// The field is longer than `limit` of `unit`.
    pub fn too_long(limit: usize, unit: &str) -> Self {
        Self::new(
            ProblemReason::TooLong,
            format!("must be at most {limit} {unit}"),
        )
        .with("limit", limit)
    }

    /// The same problem with one more variable of its sentence.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// The problem of the field with this name.
    pub fn of(self, field: impl Into<String>) -> Violation {
        Violation {
            field: field.into(),
            problem: self,
        }
    }
}

/// One bad field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the request, such as `resource.owner_id`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}
