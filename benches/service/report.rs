//! What was measured: a table with each goal beside the figure that was reached.

use std::fmt;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    /// How much of what the goal allows is used: 1 is just good enough, less is better.
    pub(crate) fn used(self, reached: f64) -> f64 {
        match self {
            // Also where nothing is allowed.
            Self::AtMost(most) if reached <= most => reached / most.max(1e-9),
            Self::AtMost(most) => reached / most,
            Self::AtLeast(least) => least / reached,
        }
    }
}

/// A line of the table.
pub(crate) struct Row {
    pub(crate) section: &'static str,
    pub(crate) what: String,
    pub(crate) goal: Option<Goal>,
    pub(crate) unit: &'static str,
    /// None where it could not be measured.
    pub(crate) reached: Option<f64>,
    /// What else there is to say.
    pub(crate) note: String,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// Server CPU per call of each kind, in microseconds, for the plot.
    pub(crate) costs: Vec<(String, f64)>,
    /// Whether some section was not measured to its end.
    pub(crate) has_failed: bool,
}

impl Report {
    /// A figure with its goal.
    pub(crate) fn goal(
        &mut self,
        section: &'static str,
        what: &str,
        goal: Goal,
        (reached, unit): (f64, &'static str),
        note: &str,
    ) {
        self.push(section, what, Some(goal), Some((reached, unit)), note);
    }

    /// A figure that has none.
    pub(crate) fn figure(
        &mut self,
        section: &'static str,
        what: &str,
        reached: (f64, &'static str),
        note: &str,
    ) {
        self.push(section, what, None, Some(reached), note);
    }

    /// What could not be measured, and why.
    pub(crate) fn skipped(&mut self, section: &'static str, why: &str) {
        self.push(section, "", None, None, &format!("skipped: {why}"));
    }

    /// What could not be measured to its end, for a reason that was said.
    pub(crate) fn failed(&mut self, section: &'static str) {
        self.has_failed = true;
        self.push(section, "", None, None, "**failed**, as is told above");
    }

    /// What one call costs the server, for the plot.
    pub(crate) fn cost(&mut self, call: &str, microseconds: f64) {
        if !self.costs.iter().any(|(known, _)| known == call) {
            self.costs.push((call.to_owned(), microseconds));
        }
    }

    fn push(
        &mut self,
        section: &'static str,
        what: &str,
        goal: Option<Goal>,
        reached: Option<(f64, &'static str)>,
        note: &str,
    ) {
        let row = Row {
            section,
            what: what.to_owned(),
            goal,
            unit: reached.map_or("", |(_, unit)| unit),
            reached: reached.map(|(reached, _)| reached),
            note: note.to_owned(),
        };
        eprintln!("{}", Line(&row));
        self.rows.push(row);
    }
}

/// A number of three or four significant digits, with its thousands apart.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut apart = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && !apart.ends_with('-') {
            apart.push(',');
        }
        apart.push(digit);
    }
    match fraction {
        "" => apart,
        _ => format!("{apart}.{fraction}"),
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_owned()
}

struct Line<'a>(&'a Row);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row {
            section,
            what,
            goal,
            unit,
            reached,
            note,
        } = self.0;
        let wanted = match goal {
            None => String::new(),
            Some(Goal::AtMost(most)) => format!("≤ {}", with_unit(*most, unit)),
            Some(Goal::AtLeast(least)) => format!("≥ {}", with_unit(*least, unit)),
        };
        let figure = reached.map_or(String::new(), |reached| with_unit(reached, unit));
        let verdict = match (goal, reached) {
            (Some(goal), Some(reached)) if goal.used(*reached) <= 1.0 => "yes",
            (Some(_), Some(_)) => "**no**",
            _ => "",
        };
        write!(
            f,
            "| {section} | {what} | {wanted} | {figure} | {verdict} | {note} |"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| section | what | goal | reached | met | |")?;
        writeln!(f, "|---|---|--:|--:|---|---|")?;
        self.rows
            .iter()
            .try_for_each(|row| writeln!(f, "{}", Line(row)))
    }
}
