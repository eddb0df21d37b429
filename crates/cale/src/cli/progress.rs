//! Progress of long work: the engine's stream of JSON messages as lines that are rewritten on a
//! terminal, or as plain lines elsewhere.

use std::io::{IsTerminal, Write};

use serde_json::Value as Json;

use super::error::CliError;
use super::format::units;
use super::link::Reply;

/// Columns of the progress bar.
const BAR: usize = 50;

/// Where progress goes.
pub trait Screen: Write {
    /// Columns of the terminal, `None` if it isn't one.
    fn columns(&self) -> Option<usize>;
}

impl Screen for std::io::Stdout {
    fn columns(&self) -> Option<usize> {
        self.is_terminal().then(|| columns_of(sys::terminal::window_size(self)))
    }
}

impl Screen for std::io::Stderr {
    fn columns(&self) -> Option<usize> {
        self.is_terminal().then(|| columns_of(sys::terminal::window_size(self)))
    }
}

impl Screen for Vec<u8> {
    fn columns(&self) -> Option<usize> {
        None
    }
}

fn columns_of(size: Option<(u16, u16)>) -> usize {
    size.map_or(80, |(columns, _)| usize::from(columns))
}

/// Shows a stream of messages until its end. `aux` gets the messages that carry data.
///
/// # Errors
/// The error that the stream carries, or what breaks it.
pub async fn show(
    reply: Reply<'_>,
    screen: &mut dyn Screen,
    aux: impl FnMut(&Json),
) -> Result<(), CliError> {
    let columns = screen.columns();
    follow(reply, &mut Board::new(screen, columns), aux).await
}

/// Reads a stream of messages silently; gives the texts that it carries.
///
/// # Errors
/// As [`show`].
pub async fn swallow(reply: Reply<'_>, aux: impl FnMut(&Json)) -> Result<String, CliError> {
    let mut sink: Vec<u8> = Vec::new();
    follow(reply, &mut Board::new(&mut sink, None), aux).await?;
    Ok(String::from_utf8_lossy(&sink).into_owned())
}

async fn follow(
    mut reply: Reply<'_>,
    board: &mut Board<'_>,
    mut aux: impl FnMut(&Json),
) -> Result<(), CliError> {
    while let Some(message) = reply.document().await? {
        if let Some(error) = error_of(&message) {
            return Err(error);
        }
        if let Some(data) = message.get("aux").filter(|data| !data.is_null()) {
            aux(data);
            continue;
        }
        board.message(&message).map_err(CliError::Output)?;
    }
    Ok(())
}

fn error_of(message: &Json) -> Option<CliError> {
    let detail = message["errorDetail"]["message"].as_str();
    let text = detail.or(message["error"].as_str()).filter(|text| !text.is_empty())?;
    match message["errorDetail"]["code"].as_u64() {
        // Build steps report their exit code in the same place.
        Some(code) if code > 0 && code < 256 => {
            eprintln!("{text}");
            Some(CliError::Silent(super::exit::Exit(u8::try_from(code).unwrap_or(1))))
        }
        _ => Some(CliError::invalid(text)),
    }
}

/// The lines on the screen, one for each layer.
struct Board<'a> {
    screen: &'a mut dyn Screen,
    columns: Option<usize>,
    lines: Vec<String>,
}

impl<'a> Board<'a> {
    fn new(screen: &'a mut dyn Screen, columns: Option<usize>) -> Self {
        Board { screen, columns, lines: Vec::new() }
    }

    fn message(&mut self, message: &Json) -> std::io::Result<()> {
        if let Some(text) = message["stream"].as_str() {
            write!(self.screen, "{text}")?;
            return self.screen.flush();
        }
        let status = message["status"].as_str().unwrap_or("");
        let progress = &message["progressDetail"];
        let counts = progress["current"]
            .as_i64()
            .map(|current| (current, progress["total"].as_i64().unwrap_or(0)));
        let id = message["id"].as_str().unwrap_or("");
        let head = if id.is_empty() { String::new() } else { format!("{id}: ") };
        match self.columns {
            // Without a terminal only what lasts is printed.
            None if counts.is_some() => Ok(()),
            None => writeln!(self.screen, "{head}{status}"),
            Some(columns) => {
                let bar = counts.map_or(String::new(), |(now, all)| bar(now, all, columns));
                let space = if bar.is_empty() { "" } else { " " };
                self.redraw(id, &format!("{head}{status}{space}{bar}"))
            }
        }
    }

    fn redraw(&mut self, id: &str, text: &str) -> std::io::Result<()> {
        if id.is_empty() {
            self.lines.clear();
            return writeln!(self.screen, "{text}");
        }
        let up = match self.lines.iter().position(|known| known == id) {
            Some(index) => self.lines.len() - index,
            None => {
                self.lines.push(id.to_owned());
                writeln!(self.screen)?;
                1
            }
        };
        // Up, erase the line, write, and down again.
        write!(self.screen, "\x1b[{up}A\x1b[2K\r{text}\r\x1b[{up}B")?;
        self.screen.flush()
    }
}

fn bar(current: i64, total: i64, columns: usize) -> String {
    let (now, all) = (units::human_size(current as f64), units::human_size(total as f64));
    if total <= 0 {
        return format!("{now:>8}");
    }
    let counts = if current > total { format!("{now:>8}") } else { format!("{now:>8}/{all}") };
    if columns <= 110 {
        return counts;
    }
    let done = usize::try_from((current.min(total) * 100 / total) / 2).unwrap_or(0).min(BAR);
    let rest = BAR - done;
    format!("[{}>{}]  {counts}", "=".repeat(done), " ".repeat(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(columns: Option<usize>, messages: &[Json]) -> String {
        let mut out: Vec<u8> = Vec::new();
        let mut board = Board::new(&mut out, columns);
        messages.iter().for_each(|m| board.message(m).expect("written"));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn without_a_terminal_bars_are_left_out() {
        let messages = [
            json!({"status": "Pulling fs layer", "id": "abc"}),
            json!({"status": "Downloading", "id": "abc", "progressDetail": {"current": 5, "total": 10}}),
            json!({"status": "Pull complete", "id": "abc"}),
        ];
        assert_eq!(shown(None, &messages), "abc: Pulling fs layer\nabc: Pull complete\n");
    }

    #[test]
    fn on_a_terminal_lines_are_rewritten() {
        let messages = [
            json!({"status": "Waiting", "id": "a"}),
            json!({"status": "Waiting", "id": "b"}),
            json!({"status": "Downloading", "id": "a", "progressDetail": {"current": 5, "total": 10}}),
        ];
        let text = shown(Some(120), &messages);
        assert!(
            text.ends_with(&format!(
                "\x1b[2A\x1b[2K\ra: Downloading [{}>{}]        5B/10B\r\x1b[2B",
                "=".repeat(25),
                " ".repeat(25)
            )),
            "{text:?}"
        );
    }

    #[test]
    fn errors_end_the_stream() {
        assert!(
            error_of(&json!({"errorDetail": {"message": "denied"}, "error": "denied"})).is_some()
        );
        assert!(error_of(&json!({"status": "fine"})).is_none());
    }
}
