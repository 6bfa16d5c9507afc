//! `hookflash top`: what a running server does, live, from its event stream.
//!
//! ```text
//! event stream ─▶ [`board`] what is known ─▶ [`view`] lines ─▶ terminal, or once to stdout
//! keys ─────────▶ scroll, quit
//! ```

mod board;
mod link;
#[cfg(test)]
mod testing;
mod view;

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use tokio::time::{interval, sleep};

use self::board::Board;
use self::link::Link;
use crate::{cli, config, demo, tell};

/// How often durations are written anew, and how often at most events are.
const FRAME: Duration = Duration::from_millis(250);
/// Between two tries to connect.
const RETRY: Duration = Duration::from_secs(1);
/// Lines that one key of a page scrolls.
const PAGE: usize = 10;

/// Shows it until somebody quits, or once.
pub(crate) fn top(arguments: &cli::Top) -> Result<(), String> {
    let token = token(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(text)?;
    if arguments.once {
        return runtime.block_on(once(arguments, &token));
    }
    if !std::io::stdout().is_terminal() {
        return Err("not a terminal: use --once".into());
    }
    let mut terminal = ratatui::try_init().map_err(text)?;
    let result = runtime.block_on(live(arguments, &token, &mut terminal));
    ratatui::restore();
    result
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Given, of the environment, or that of the demo.
fn token(arguments: &cli::Top) -> Result<String, String> {
    if let Some(token) = &arguments.token {
        return Ok(token.clone());
    }
    if let Ok(token) = std::env::var("HOOKFLASH_TOKEN") {
        return Ok(token);
    }
    let file = demo::file(&demo::data_dir(arguments.data_dir.as_deref()));
    let settings = config::load(&file).ok();
    let token = settings.as_ref().and_then(demo::admin_token).map(str::to_owned);
    token.ok_or_else(|| format!("no --token, no $HOOKFLASH_TOKEN, and none in {}", file.display()))
}

async fn once(arguments: &cli::Top, token: &str) -> Result<(), String> {
    let mut board = Board::default();
    let mut link = Link::open(arguments.api, token, None).await?;
    // The first message is the snapshot.
    board.take(&link.next().await?)?;
    for line in view::lines(&board, &arguments.api.to_string(), now_ms()) {
        tell(line.to_string().trim_end());
    }
    Ok(())
}

/// What happens next.
enum Happened {
    Told(String),
    Lost(String),
    Key(Event),
    NoKeys,
    Time,
}

async fn live(
    arguments: &cli::Top,
    token: &str,
    terminal: &mut ratatui::DefaultTerminal,
) -> Result<(), String> {
    // The first try tells what is wrong; later ones are repeated.
    let mut link = Some(Link::open(arguments.api, token, None).await?);
    let mut board = Board::default();
    let (mut keys, mut frames) = (EventStream::new(), interval(FRAME));
    let (mut trouble, mut scroll) = (None::<String>, 0_usize);
    let mut is_dirty = true;
    loop {
        let happened = tokio::select! {
            biased;
            key = keys.next() => match key {
                Some(Ok(key)) => Happened::Key(key),
                Some(Err(_)) | None => Happened::NoKeys,
            },
            _ = frames.tick() => Happened::Time,
            told = hear(&mut link, arguments, token, board.seq()) => match told {
                Ok(told) => Happened::Told(told),
                Err(error) => Happened::Lost(error),
            },
        };
        match happened {
            Happened::Told(told) => {
                trouble = board.take(&told).err();
                is_dirty = true;
            }
            Happened::Lost(error) => {
                (link, trouble) = (None, Some(error));
                is_dirty = true;
            }
            Happened::Key(Event::Resize(..)) => is_dirty = true,
            Happened::Key(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                match pressed(key, scroll) {
                    Some(place) => scroll = place,
                    None => return Ok(()),
                }
                is_dirty = true;
            }
            Happened::Key(_) => {}
            Happened::NoKeys => return Ok(()),
            Happened::Time if is_dirty || board.has_calls() => {
                is_dirty = false;
                let lines = view::lines(&board, &arguments.api.to_string(), now_ms());
                scroll = scroll.min(lines.len().saturating_sub(1));
                let draw = |frame: &mut ratatui::Frame<'_>| {
                    view::draw(frame, &lines, scroll, trouble.as_deref());
                };
                terminal.draw(draw).map_err(text)?;
            }
            Happened::Time => {}
        }
    }
}

/// How far down it is scrolled after a key; `None`: quit.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other keys of a foreign enum do nothing")]
fn pressed(key: KeyEvent, scroll: usize) -> Option<usize> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if is_control => None,
        KeyCode::Char('q') | KeyCode::Esc => None,
        KeyCode::Down | KeyCode::Char('j') => Some(scroll.saturating_add(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(scroll.saturating_sub(1)),
        KeyCode::PageDown => Some(scroll.saturating_add(PAGE)),
        KeyCode::PageUp => Some(scroll.saturating_sub(PAGE)),
        KeyCode::Home => Some(0),
        _ => Some(scroll),
    }
}

/// The next message; connects anew first where the connection was lost.
async fn hear(
    link: &mut Option<Link>,
    arguments: &cli::Top,
    token: &str,
    since: Option<u64>,
) -> Result<String, String> {
    if link.is_none() {
        sleep(RETRY).await;
        *link = Some(Link::open(arguments.api, token, since).await?);
    }
    match link {
        Some(link) => link.next().await,
        None => Err("not connected".into()),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
