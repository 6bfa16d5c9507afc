//! The board as lines: the same for the terminal and for `--once`.

use b2bua::api::{
    InteractionSnapshot, InteractionState, ParticipantRole, ParticipantSnapshot, RecordingState,
};
use call::record::LegProtection;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::board::Board;

/// Score below which, loss and jitter beyond which a leg is shown as bad.
const MOS_BAD: f64 = 3.6;
const LOSS_BAD_PERCENT: f64 = 2.0;
const JITTER_BAD_MS: f64 = 30.0;
/// Phones in one line.
const PHONES_PER_LINE: usize = 8;

/// Everything, top-down.
pub(super) fn lines(board: &Board, server: &str, now_ms: u64) -> Vec<Line<'static>> {
    let legs: usize = board.interactions.values().map(legs).sum();
    let phones: usize = board.registrations.values().sum();
    let up = board.trunks.values().filter(|trunk| trunk.up).count();
    let counts = format!(
        "  calls {}   legs {legs}   phones {phones}   trunks {up}/{}",
        board.interactions.len(),
        board.trunks.len()
    );
    let title = Span::from(format!("hookflash {server}")).bold();
    let mut lines = vec![Line::from(vec![title, counts.into()]), Line::default()];
    lines.push(heading(&format!(
        "{:<22} {:<17} {:>8}  {:<16} {:<16} RECORDING",
        "CALL", "STATE", "TIME", "FROM", "TO"
    )));
    for interaction in board.interactions.values() {
        lines.push(call(interaction, now_ms));
        lines.extend(interaction.participants.iter().map(participant));
    }
    if board.interactions.is_empty() {
        lines.push("(no calls)".dim().into());
    }
    lines.push(Line::default());
    lines.push(heading("PHONES"));
    let phones: Vec<_> = board.registrations.iter().collect();
    for row in phones.chunks(PHONES_PER_LINE) {
        let one = |(extension, contacts): &(&String, &usize)| match contacts {
            1 => format!("{extension:<10}"),
            _ => format!("{:<10}", format!("{extension} x{contacts}")),
        };
        lines.push(row.iter().map(one).collect::<String>().into());
    }
    if phones.is_empty() {
        lines.push("(none registered)".dim().into());
    }
    lines.push(Line::default());
    lines.push(heading("TRUNKS"));
    for (name, trunk) in &board.trunks {
        let word = match (trunk.up, trunk.gateways_up < trunk.gateways) {
            (true, false) => "up".green(),
            (true, true) => {
                format!("up in part ({}/{})", trunk.gateways_up, trunk.gateways).yellow()
            }
            (false, _) => "down".red().bold(),
        };
        lines.push(Line::from(vec![format!("{name:<22} ").into(), word]));
    }
    if board.trunks.is_empty() {
        lines.push("(none)".dim().into());
    }
    if !board.recent.is_empty() {
        lines.push(Line::default());
        lines.push(heading("LAST EVENTS"));
        lines.extend(board.recent.iter().rev().map(|event| Line::from(event.clone())));
    }
    lines
}

/// The lines from `scroll` on, and a line of help or trouble at the bottom.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    lines: &[Line<'static>],
    scroll: usize,
    trouble: Option<&str>,
) {
    let areas = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).split(frame.area());
    let shown: Vec<_> = lines.iter().skip(scroll).cloned().collect();
    frame.render_widget(Paragraph::new(shown), areas[0]);
    let bottom = match trouble {
        Some(trouble) => Line::from(trouble.to_owned().red()),
        None => Line::from("q quit   j/k scroll".dim()),
    };
    frame.render_widget(Paragraph::new(bottom), areas[1]);
}

fn heading(text: &str) -> Line<'static> {
    Line::from(Span::styled(text.to_owned(), Style::new().add_modifier(Modifier::REVERSED)))
}

fn legs(interaction: &InteractionSnapshot) -> usize {
    interaction.participants.iter().map(|participant| participant.legs.len()).sum()
}

fn call(interaction: &InteractionSnapshot, now_ms: u64) -> Line<'static> {
    let since = interaction.answered.unwrap_or(interaction.started);
    let seconds = now_ms.saturating_sub(since.0) / 1000;
    let time = match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    };
    let state = format!("{:<17}", word(&interaction.state));
    let state = match interaction.state {
        InteractionState::Connected | InteractionState::Conference => state.green(),
        InteractionState::Ringing
        | InteractionState::ConsultRequested
        | InteractionState::Transferring => state.yellow(),
        InteractionState::Held | InteractionState::Consulting | InteractionState::ConsultHeld => {
            state.cyan()
        }
        InteractionState::PostCall | InteractionState::Ended => state.dim(),
    };
    let recording = match interaction.recording {
        RecordingState::Off => "".into(),
        RecordingState::On => "on".red(),
        RecordingState::Paused => "paused".yellow(),
        RecordingState::Failed => "failed".red().reversed(),
    };
    let (from, to) = (cut(&interaction.from, 16), cut(&interaction.to, 16));
    let id = format!("{:<22} ", cut(&interaction.id, 22)).bold();
    Line::from(vec![id, state, format!(" {time:>8}  {from:<16} {to:<16} ").into(), recording])
}

fn participant(of: &ParticipantSnapshot) -> Line<'static> {
    let leg = of.legs.first();
    let codec = leg.and_then(|leg| leg.codec.as_deref()).unwrap_or("-");
    let protection = leg.and_then(|leg| leg.protection).filter(|it| *it != LegProtection::None);
    let protection = protection.map_or_else(|| "-".to_owned(), |it| word(&it));
    let role = match (of.role, of.primary) {
        (ParticipantRole::Agent, true) => "agent*".to_owned(),
        (role, _) => word(&role),
    };
    let mut spans = vec![Span::from(format!(
        "  {:<10} {:<14} {:<14} {:<7} {:<4}",
        role,
        cut(&of.party, 14),
        word(&of.state),
        cut(codec, 7),
        protection
    ))];
    if let Some(quality) = leg.and_then(|leg| leg.quality) {
        let lost = quality.loss_percent > LOSS_BAD_PERCENT;
        let bad = lost || quality.mos < MOS_BAD || quality.jitter_ms > JITTER_BAD_MS;
        let round_trip = quality.round_trip_ms.map(|ms| format!("  rtt {ms:.0} ms"));
        let figures = format!(
            " MOS {:.1}  loss {:.1} %  jitter {:.1} ms{}",
            quality.mos,
            quality.loss_percent,
            quality.jitter_ms,
            round_trip.unwrap_or_default()
        );
        spans.push(Span::styled(figures, if bad { Color::Red } else { Color::Reset }));
    }
    let flags =
        [(of.holds, "holds"), (of.muted, "muted"), (of.noise_suppression.enabled, "noise removed")];
    for (_, flag) in flags.iter().filter(|(is_set, _)| *is_set) {
        spans.push(Span::from(format!("  {flag}")));
    }
    Line::from(spans)
}

/// The word of the API for a state.
fn word(state: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(state).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

/// What fits, without what a terminal would take for a command.
fn cut(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::board;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn the_table_shows_calls_legs_codecs_quality_phones_and_trunks() {
        let now_ms = 1_767_225_600_000 + 65_000;
        let lines = lines(&board(), "127.0.0.1:8080", now_ms);
        let text: Vec<_> =
            lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect();
        assert_eq!(text[0], "hookflash 127.0.0.1:8080  calls 1   legs 2   phones 2   trunks 2/2");
        let call: Vec<_> = text[3].split_whitespace().collect();
        assert_eq!(call, ["call-1", "connected", "1:05", "+4930123456", "1001", "on"]);
        let customer =
            "customer carrier connected PCMA dtls MOS 4.2 loss 1.2 % jitter 3.5 ms noise removed";
        assert_eq!(text[4].split_whitespace().collect::<Vec<_>>().join(" "), customer);
        assert!(text[5].contains("agent*") && text[5].contains("opus"), "{}", text[5]);
        assert!(text.iter().any(|line| line == "1001 x2"));
        assert!(text.iter().any(|line| line.starts_with("carrier") && line.ends_with("up")));
        let in_part =
            |line: &String| line.starts_with("backup") && line.ends_with("up in part (1/2)");
        assert!(text.iter().any(in_part));
    }

    #[test]
    fn a_small_terminal_shows_what_fits_and_the_rest_by_scrolling() {
        let mut terminal = Terminal::new(TestBackend::new(40, 6)).unwrap();
        let lines = lines(&board(), "h", 0);
        terminal.draw(|frame| draw(frame, &lines, 3, Some("lost"))).unwrap();
        let text = terminal.backend().to_string();
        assert!(text.contains("call-1") && text.contains("lost"), "{text}");
    }

    #[test]
    fn names_from_the_wire_are_no_commands_for_the_terminal() {
        assert_eq!(cut("a\u{1b}[2Jb\r\n", 20), "a?[2Jb??");
    }
}
