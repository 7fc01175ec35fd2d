//! Merging of the layers of configuration: embedded default, file, environment, command line. Every key is looked
//! up in the embedded default; one that is not there is refused with the nearest that is.

use super::{Config, DEFAULT};
use crate::error::{Error, Result};
use std::path::Path;
use toml::{Table, Value};

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `section.key=value` pairs.
    pub set: Vec<String>,
    /// Stream of the single feed.
    pub stream: Option<String>,
    /// Relation of the single feed.
    pub relation: Option<String>,
}

/// Reads file, environment and overrides over the default.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Config> {
    let mut settings: Table =
        DEFAULT.parse().map_err(|e| Error::end(format!("the embedded default is broken: {e}")))?;
    let template = take_template(&mut settings)?;
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::usage(format!("configuration {} cannot be read: {e}", path.display())))?;
        let table: Table = text
            .parse()
            .map_err(|e| Error::usage(format!("configuration {} is not valid TOML: {e}", path.display())))?;
        merge_file(&mut settings, table, &template)
            .map_err(|e| e.while_doing(format!("configuration {}", path.display())))?;
    }
    let mut single = [None, None];
    apply_environment(&mut settings, environment, &mut single)?;
    for pair in &overrides.set {
        let (path, value) = pair
            .split_once('=')
            .ok_or_else(|| Error::usage(format!("--set \"{pair}\" is not section.key=value")))?;
        let (section, key) = path.split_once('.').unwrap_or(("", path));
        set(&mut settings, section, key, value).map_err(|e| e.while_doing(format!("--set {path}")))?;
    }
    let [stream, relation] = single;
    let single = [overrides.stream.clone().or(stream), overrides.relation.clone().or(relation)];
    apply_single_feed(&mut settings, &template, &single)?;
    let config: Config = Value::Table(settings)
        .try_into()
        .map_err(|e: toml::de::Error| Error::usage(format!("configuration: {}", e.message())))?;
    config.validate()?;
    Ok(config)
}

/// Takes the example feed out of the default: it tells the known keys and the defaults of a feed.
fn take_template(settings: &mut Table) -> Result<Table> {
    let feeds = settings.insert("feeds".to_owned(), Value::Array(Vec::new()));
    match feeds {
        Some(Value::Array(mut feeds)) if feeds.len() == 1 => match feeds.remove(0) {
            Value::Table(feed) => Ok(feed),
            _ => Err(Error::end("the embedded default has a feed that is no table")),
        },
        _ => Err(Error::end("the embedded default must have one feed")),
    }
}

fn merge_file(settings: &mut Table, file: Table, template: &Table) -> Result<()> {
    for (name, value) in file {
        match (name.as_str(), value) {
            ("feeds", Value::Array(feeds)) => {
                let mut merged = Vec::new();
                for (i, feed) in feeds.into_iter().enumerate() {
                    let Value::Table(feed) = feed else {
                        return Err(Error::usage(format!("feeds[{i}] must be a section [[feeds]]")));
                    };
                    let mut whole = template.clone();
                    merge_section(&mut whole, feed, &format!("feeds[{i}]"))?;
                    merged.push(Value::Table(whole));
                }
                settings.insert(name, Value::Array(merged));
            }
            ("feeds", _) => return Err(Error::usage("feeds must be sections [[feeds]]")),
            (_, Value::Table(section)) => match settings.get_mut(&name) {
                Some(Value::Table(known)) => merge_section(known, section, &name)?,
                _ => return Err(unknown("section", &name, sections(settings))),
            },
            (_, value) => match settings.get(&name) {
                Some(Value::Table(_)) => {
                    return Err(Error::usage(format!("{name} must be a section [{name}]")));
                }
                Some(_) => {
                    settings.insert(name, value);
                }
                None => return Err(unknown("key", &name, settings.keys().map(String::as_str))),
            },
        }
    }
    Ok(())
}

fn merge_section(known: &mut Table, section: Table, place: &str) -> Result<()> {
    for (key, value) in section {
        match known.get(&key) {
            None => return Err(unknown("key", &format!("{place}.{key}"), known.keys().map(String::as_str))),
            Some(default) if default.type_str() != value.type_str() => {
                return Err(Error::usage(format!(
                    "{place}.{key} must be a {}, not a {}",
                    default.type_str(),
                    value.type_str()
                )));
            }
            Some(_) => known.insert(key, value),
        };
    }
    Ok(())
}

/// `STRATA_SECTION_KEY`; `DATABASE_URL` where no DSN is said otherwise. A variable that begins like ours and is no
/// setting is left alone: Kubernetes makes such for a service called strata.
fn apply_environment(
    settings: &mut Table,
    environment: impl IntoIterator<Item = (String, String)>,
    single: &mut [Option<String>; 2],
) -> Result<()> {
    let mut url = None;
    for (name, value) in environment {
        if name == "DATABASE_URL" {
            url = Some(value);
            continue;
        }
        let Some(rest) = name.strip_prefix("STRATA_").map(str::to_lowercase) else { continue };
        match rest.as_str() {
            "stream" => single[0] = Some(value),
            "relation" => single[1] = Some(value),
            "worker" => set(settings, "", "worker", &value)?,
            _ => {
                let Some((section, key)) = rest.split_once('_') else { continue };
                let known = matches!(settings.get(section), Some(Value::Table(t)) if t.contains_key(key));
                if known {
                    set(settings, section, key, &value).map_err(|e| e.while_doing(&name))?;
                }
            }
        }
    }
    if let (Some(url), Some(Value::Table(postgres))) = (url, settings.get_mut("postgres")) {
        let unset = |key: &str| postgres.get(key).and_then(Value::as_str).is_none_or(str::is_empty);
        if unset("dsn") && unset("dsn_file") {
            postgres.insert("dsn".to_owned(), Value::String(url));
        }
    }
    Ok(())
}

/// Sets one value given as text, by the type its default has.
fn set(settings: &mut Table, section: &str, key: &str, text: &str) -> Result<()> {
    let names: Vec<String> = sections(settings).map(str::to_owned).collect();
    let table = if section.is_empty() {
        settings
    } else {
        match settings.get_mut(section) {
            Some(Value::Table(table)) => table,
            _ => return Err(unknown("section", section, names.iter().map(String::as_str))),
        }
    };
    let value = match table.get(key) {
        Some(Value::String(_)) => Value::String(text.to_owned()),
        Some(Value::Integer(_)) => Value::Integer(
            text.parse().map_err(|_| Error::usage(format!("{key} must be an integer, not \"{text}\"")))?,
        ),
        Some(Value::Boolean(_)) => {
            Value::Boolean(text.parse().map_err(|_| Error::usage(format!("{key} must be true or false")))?)
        }
        Some(_) => return Err(Error::usage(format!("{key} can only be set in a file"))),
        None => return Err(unknown("key", key, table.keys().map(String::as_str))),
    };
    table.insert(key.to_owned(), value);
    Ok(())
}

fn apply_single_feed(settings: &mut Table, template: &Table, single: &[Option<String>; 2]) -> Result<()> {
    if single.iter().all(Option::is_none) {
        return Ok(());
    }
    let Some(Value::Array(feeds)) = settings.get_mut("feeds") else { return Ok(()) };
    if feeds.len() > 1 {
        return Err(Error::usage("--stream and --relation describe a single feed, the file has several"));
    }
    if feeds.is_empty() {
        feeds.push(Value::Table(template.clone()));
    }
    if let Some(Value::Table(feed)) = feeds.first_mut() {
        for (key, value) in ["stream", "relation"].into_iter().zip(single) {
            if let Some(value) = value {
                feed.insert(key.to_owned(), Value::String(value.clone()));
            }
        }
    }
    Ok(())
}

fn sections(settings: &Table) -> impl Iterator<Item = &str> {
    settings.iter().filter(|(_, v)| v.is_table()).map(|(k, _)| k.as_str())
}

/// A refusal that names the nearest known name.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let last = name.rsplit('.').next().unwrap_or(name);
    let known: Vec<&str> = known.collect();
    match nearest(last, &known) {
        Some(near) => Error::usage(format!("unknown {what} \"{name}\": did you mean \"{near}\"?")),
        None => Error::usage(format!("unknown {what} \"{name}\": known are {}", known.join(", "))),
    }
}

/// The known name nearest to a wrong one, if any is near.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(name, k), *k))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
