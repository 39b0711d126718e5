//! Which key asks for what.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::app::Action;

/// What this key asks for; `typing` if letters are those of a filter, `page` lines fit on a page.
pub(super) fn action(key: KeyEvent, typing: bool, page: usize) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if control => Action::Quit,
        KeyCode::Enter => Action::Open,
        KeyCode::Esc => Action::Back,
        KeyCode::Backspace if typing => Action::Erase,
        KeyCode::Char(letter) if typing && !control => Action::Type(letter),
        KeyCode::Up => Action::Up(1),
        KeyCode::Down => Action::Down(1),
        KeyCode::PageUp => Action::Up(page),
        KeyCode::PageDown => Action::Down(page),
        KeyCode::Home => Action::First,
        KeyCode::End => Action::Last,
        KeyCode::Tab | KeyCode::BackTab => Action::OtherPane,
        KeyCode::Backspace => Action::Back,
        KeyCode::Char(letter) if !control => match letter {
            'q' => Action::Quit,
            '?' | 'h' => Action::Help,
            'k' => Action::Up(1),
            'j' => Action::Down(1),
            'g' => Action::First,
            'G' => Action::Last,
            's' => Action::Sort,
            'a' => Action::AllEvents,
            'f' => Action::Follow,
            '/' => Action::Filter,
            ' ' => Action::Down(page),
            _ => return None,
        },
        _ => return None,
    })
}
