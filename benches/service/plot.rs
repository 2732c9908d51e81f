//! The plot: what each goal allows and how much of it is used, and what a call of each kind costs.

use std::{fmt::Write, fs, io, path::Path};

use super::report::{Report, number};

const WIDTH: f64 = 900.0;
/// Where the bars begin.
const LEFT: f64 = 430.0;
/// Where a bar ends that uses just what its goal allows.
const FULL: f64 = 300.0;
const LONGEST: f64 = WIDTH - LEFT - 90.0;
const STEP: f64 = 26.0;
const GOOD: &str = "#2f855a";
const BAD: &str = "#c05621";
const PLAIN: &str = "#4a6fa5";

/// Writes it.
pub(crate) fn write(report: &Report, file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, svg(report))
}

fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 30.0;
    heading(
        &mut body,
        y,
        "How much of what the goal allows is used (the line: all of it)",
    );
    let top = y + 8.0;
    for row in &report.rows {
        let (Some(goal), Some(reached)) = (row.goal, row.reached) else {
            continue;
        };
        y += STEP;
        let used = goal.used(reached);
        let colour = if used <= 1.0 { GOOD } else { BAD };
        let value = format!("{} {}", number(reached), row.unit);
        bar(&mut body, y, &row.what, used * FULL, colour, value.trim());
    }
    let line = LEFT + FULL;
    let bottom = y + 8.0;
    // Writing to a string cannot fail.
    let _ = writeln!(
        body,
        r##"<line x1="{line}" y1="{top}" x2="{line}" y2="{bottom}" stroke="#222" stroke-dasharray="4 3"/>"##
    );
    y += 2.0 * STEP;
    heading(&mut body, y, "Server CPU per call, in microseconds");
    let most = report
        .costs
        .iter()
        .map(|(_, cost)| *cost)
        .fold(1.0, f64::max);
    for (call, cost) in &report.costs {
        y += STEP;
        bar(
            &mut body,
            y,
            call,
            cost / most * LONGEST,
            PLAIN,
            &number(*cost),
        );
    }
    let height = y + STEP;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn heading(body: &mut String, y: f64, text: &str) {
    let _ = writeln!(
        body,
        r#"<text x="16" y="{y}" font-weight="bold">{text}</text>"#
    );
}

fn bar(body: &mut String, y: f64, label: &str, length: f64, colour: &str, value: &str) {
    let label = escaped(label);
    let length = length.clamp(1.0, LONGEST);
    let (text_at, value_at, bar_top) = (LEFT - 10.0, LEFT + length + 6.0, y - 13.0);
    let _ = writeln!(
        body,
        "<text x=\"{text_at}\" y=\"{y}\" text-anchor=\"end\">{label}</text>\
         <rect x=\"{LEFT}\" y=\"{bar_top}\" width=\"{length:.1}\" height=\"17\" fill=\"{colour}\"/>\
         <text x=\"{value_at:.1}\" y=\"{y}\">{}</text>",
        escaped(value)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
