//! Writes dates as people write them, next to their ISO form: `dates.csv.gz`.
//!
//! `cargo run --example make_dates | gzip -9n > models/data/dates.csv.gz`
//!
//! 10,000 days drawn evenly from 1900 to 2099, each in one of the ways below; the same file every time. Columns:
//! `written` (at most 36 characters, no capitals) and `iso` (10 characters, `yyyy-mm-dd`).

const ROWS: usize = 10_000;

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const ORDINALS: [&str; 19] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];

/// A day of the Gregorian calendar.
struct Date {
    year: u64,
    /// From 1.
    month: u64,
    /// From 1.
    day: u64,
    /// 0 is Sunday.
    weekday: u64,
}

/// The day this many days after 1 January 1900, a Monday.
fn date(days: u64) -> Date {
    let (mut year, mut month, mut left) = (1900, 1, days);
    while left >= days_in_year(year) {
        left -= days_in_year(year);
        year += 1;
    }
    while left >= days_in_month(year, month) {
        left -= days_in_month(year, month);
        month += 1;
    }
    Date { year, month, day: left + 1, weekday: (days + 1) % 7 }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `1st`, `22nd`, `13th`.
fn numbered(day: u64) -> String {
    let ending = match (day % 10, day) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{day}{ending}")
}

/// `first`, `twenty-second`.
fn in_words(day: u64) -> String {
    match day {
        1..=19 => ORDINALS[day as usize - 1].to_string(),
        20 => "twentieth".to_string(),
        30 => "thirtieth".to_string(),
        _ => format!("{}-{}", if day < 30 { "twenty" } else { "thirty" }, ORDINALS[day as usize % 10 - 1]),
    }
}

/// A date in one of eight ways.
fn written(date: &Date, way: u64) -> String {
    let Date { year, day, .. } = date;
    let month = MONTHS[date.month as usize - 1];
    let weekday = WEEKDAYS[date.weekday as usize];
    match way {
        0 => format!("{day} {month} {year}"),
        1 => format!("{month} {day}, {year}"),
        2 => format!("the {} of {month} {year}", numbered(*day)),
        3 => format!("{month} the {}, {year}", in_words(*day)),
        4 => format!("the {} of {month} {year}", in_words(*day)),
        5 => format!("{weekday}, {month} {day}, {year}"),
        6 => format!("{weekday} {} {} {year}", numbered(*day), &month[..3]),
        _ => format!("{day} {} '{:02}", &month[..3], year % 100),
    }
}

fn main() {
    let days: u64 = (1900..2100).map(days_in_year).sum();
    // Knuth's multiplier; the high bits are good enough to deal out days and ways.
    let mut state: u64 = 2026;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    println!("written,iso");
    for _ in 0..ROWS {
        let date = date(draw(days));
        // A year of two digits could be of either century: those are written out.
        let ways = if date.year < 2000 { 8 } else { 7 };
        let text = written(&date, draw(ways));
        println!("\"{text}\",{}-{:02}-{:02}", date.year, date.month, date.day);
    }
}
