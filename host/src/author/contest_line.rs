//! One contest as a person types it: `a,b beat c,d 16-9`, `a drew b`, `a > b = c`, and a line-up that is yet to play: `a,b vs c,d`.
//!
//! ```text
//! contest  = team (verb team)+ [scores]        verb   = beat | beats | > | drew | draws | =
//! line-up  = team (vs team)+                   scores = number - number ...
//! team     = name (, name)*                    name   = letters, digits, `_`, `.`, `-`
//! ```
//! The first team of a contest is first; each verb says how the next one stands to the one before it.

use std::collections::BTreeSet;

/// Teams that one line may hold.
pub const TEAMS_MAX: usize = 256;
/// Bytes of one name.
const NAME_LEN_MAX: usize = 64;
/// Words that cannot name a player.
const RESERVED: [&str; 6] = ["beat", "beats", "drew", "draws", "vs", "predict"];

/// A finished contest between named players.
#[derive(Clone, Debug, PartialEq)]
pub struct ContestLine {
    /// Names per team.
    pub teams: Vec<Vec<String>>,
    /// Place per team, 0 is best, equal places are a draw.
    pub places: Vec<u16>,
    /// Score per team, or empty.
    pub scores: Vec<f64>,
}

/// Why a line cannot be read. The fault of whoever typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct BadLine {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong there and what to write.
    pub problem: String,
}

impl BadLine {
    fn at(token: &Token<'_>, problem: impl Into<String>) -> Self {
        Self { column: token.column, problem: problem.into() }
    }
}

/// Reads a finished contest.
///
/// # Errors
/// [`BadLine`] names the column.
pub fn parse_contest(line: &str) -> Result<ContestLine, BadLine> {
    let mut tokens = Tokens::of(line);
    let mut teams = vec![tokens.team()?];
    let mut places = vec![0_u16];
    let mut scores = Vec::new();
    while let Some(token) = tokens.next() {
        let is_draw = match token.text {
            "beat" | "beats" | ">" => false,
            "drew" | "draws" | "=" => true,
            text if teams.len() > 1 && tokens.is_done() => match scores_of(text) {
                Some(read) => {
                    scores = read;
                    break;
                }
                None => return Err(BadLine::at(&token, format!("`{text}` is no score; write one number per team, as in 16-9"))),
            },
            text => return Err(BadLine::at(&token, format!("`{text}` says nothing about the result; write `beat` or `drew`"))),
        };
        teams.push(tokens.team()?);
        let last = places.last().copied().unwrap_or_default();
        // A place counts the teams that are strictly better: after two firsts comes a third.
        let place = if is_draw { last } else { u16::try_from(teams.len() - 1).unwrap_or(u16::MAX) };
        places.push(place);
        if teams.len() > TEAMS_MAX {
            return Err(BadLine::at(&token, format!("more than {TEAMS_MAX} teams")));
        }
    }
    tokens.require_teams(&teams, "beat")?;
    if !scores.is_empty() && scores.len() != teams.len() {
        return Err(tokens.at_end(format!("{} scores for {} teams", scores.len(), teams.len())));
    }
    Ok(ContestLine { teams, places, scores })
}

/// Reads a line-up: names per team.
///
/// # Errors
/// [`BadLine`] names the column.
pub fn parse_line_up(line: &str) -> Result<Vec<Vec<String>>, BadLine> {
    let mut tokens = Tokens::of(line);
    let mut teams = vec![tokens.team()?];
    while let Some(token) = tokens.next() {
        if token.text != "vs" {
            return Err(BadLine::at(&token, format!("`{}` is not expected here; write `vs` between teams", token.text)));
        }
        teams.push(tokens.team()?);
        if teams.len() > TEAMS_MAX {
            return Err(BadLine::at(&token, format!("more than {TEAMS_MAX} teams")));
        }
    }
    tokens.require_teams(&teams, "vs")?;
    Ok(teams)
}

/// `16-9` as numbers; `None` if it is none or one.
fn scores_of(text: &str) -> Option<Vec<f64>> {
    let scores: Vec<f64> = text.split('-').map(|part| part.parse().ok().filter(|score: &f64| score.is_finite())).collect::<Option<_>>()?;
    (scores.len() > 1).then_some(scores)
}

/// A word or a comma, with the column where it stands.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    text: &'a str,
    column: usize,
}

struct Tokens<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    /// Column behind the last character.
    end: usize,
    names: BTreeSet<&'a str>,
}

impl<'a> Tokens<'a> {
    fn of(line: &'a str) -> Self {
        let mut tokens = Vec::new();
        let mut word: Option<(usize, usize)> = None;
        for (column, (at, character)) in (1..).zip(line.char_indices()) {
            let breaks = character.is_whitespace() || matches!(character, ',' | '>' | '=');
            if !breaks {
                word.get_or_insert((at, column));
                continue;
            }
            if let Some((start, column)) = word.take() {
                tokens.push(Token { text: &line[start..at], column });
            }
            if !character.is_whitespace() {
                tokens.push(Token { text: &line[at..at + character.len_utf8()], column });
            }
        }
        if let Some((start, column)) = word {
            tokens.push(Token { text: &line[start..], column });
        }
        Self { tokens, next: 0, end: line.chars().count() + 1, names: BTreeSet::new() }
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.next).copied();
        self.next += usize::from(token.is_some());
        token
    }

    fn is_done(&self) -> bool {
        self.next == self.tokens.len()
    }

    fn at_end(&self, problem: String) -> BadLine {
        BadLine { column: self.end, problem }
    }

    fn team(&mut self) -> Result<Vec<String>, BadLine> {
        let mut team = vec![self.name()?];
        while self.tokens.get(self.next).is_some_and(|token| token.text == ",") {
            self.next += 1;
            team.push(self.name()?);
        }
        Ok(team)
    }

    fn name(&mut self) -> Result<String, BadLine> {
        let Some(token) = self.next() else { return Err(self.at_end("a player's name is missing".to_owned())) };
        let allowed = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.' | '-');
        let is_name = token.text.chars().all(allowed) && token.text.len() <= NAME_LEN_MAX && !RESERVED.contains(&token.text);
        if !is_name {
            return Err(BadLine::at(&token, format!("`{}` is no player's name", token.text)));
        }
        if !self.names.insert(token.text) {
            return Err(BadLine::at(&token, format!("`{}` stands twice in this line", token.text)));
        }
        Ok(token.text.to_owned())
    }

    fn require_teams(&self, teams: &[Vec<String>], verb: &str) -> Result<(), BadLine> {
        match teams.len() {
            0 | 1 => Err(self.at_end(format!("one team alone; write `{verb}` and another team"))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_understood() {
        type Understood<'a> = (&'a [&'a [&'a str]], &'a [u16], &'a [f64]);
        let table: [(&str, Understood<'_>); 8] = [
            ("a,b beat c,d 16-9", (&[&["a", "b"], &["c", "d"]], &[0, 1], &[16.0, 9.0])),
            ("a drew b", (&[&["a"], &["b"]], &[0, 0], &[])),
            ("a > b > c", (&[&["a"], &["b"], &["c"]], &[0, 1, 2], &[])),
            ("a>b", (&[&["a"], &["b"]], &[0, 1], &[])),
            ("a = b > c", (&[&["a"], &["b"], &["c"]], &[0, 0, 2], &[])),
            ("a > b = c", (&[&["a"], &["b"], &["c"]], &[0, 1, 1], &[])),
            ("  ann , bob   beats  kid-1  2.5-1 ", (&[&["ann", "bob"], &["kid-1"]], &[0, 1], &[2.5, 1.0])),
            ("ü beat ß", (&[&["ü"], &["ß"]], &[0, 1], &[])),
        ];
        for (line, (teams, places, scores)) in table {
            let read = parse_contest(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!((read.teams, read.places.as_slice(), read.scores.as_slice()), (owned(teams), places, scores), "{line}");
        }
        assert_eq!(parse_line_up("a,b vs c,d vs e").unwrap(), owned(&[&["a", "b"], &["c", "d"], &["e"]]));
    }

    fn owned(teams: &[&[&str]]) -> Vec<Vec<String>> {
        teams.iter().map(|team| team.iter().map(|name| (*name).to_owned()).collect()).collect()
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_column() {
        let table = [
            ("", 1, "a player's name is missing"),
            ("a", 2, "one team alone"),
            ("a beat", 7, "a player's name is missing"),
            ("a wins b", 3, "`wins` says nothing"),
            ("a beat a", 8, "`a` stands twice"),
            ("a,,b beat c", 3, "`,` is no player's name"),
            ("a beat b 16-x", 10, "`16-x` is no score"),
            ("a beat b 3-2-1", 15, "3 scores for 2 teams"),
            ("a beat vs", 8, "`vs` is no player's name"),
            ("ü beat !", 8, "`!` is no player's name"),
        ];
        for (line, column, problem) in table {
            let error = parse_contest(line).expect_err(line);
            assert!(error.column == column && error.problem.contains(problem), "{line}: {error}");
        }
        assert_eq!(parse_line_up("a beat b").unwrap_err().column, 3);
    }
}
