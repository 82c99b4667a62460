//! What a parameter may be while a search looks for better ones: read from the plugin's own parameters schema.
//!
//! A number is searched between the `minimum` and `maximum` of its `x-tune` table, on the `scale` that it says (`"log"` or `"linear"`), else
//! around its default: a share (0 to 1) anywhere, another number above zero from a 32nd of its default to 32 times it, always within the
//! schema's own bounds. `"x-tune": false` leaves a parameter as it is; `"x-tune": true` also tries each value of an `enum` or a `boolean`.

use serde_json::{Map, Value};

/// How far around its default a number is searched if its schema says nothing.
const AROUND_DEFAULT: f64 = 32.0;
/// Significant digits of a number that is tried: what is written into plugins.toml can be read.
const DIGITS: usize = 4;
/// Values of an enumeration, at most.
const CHOICES_MAX: usize = 16;

/// One parameter and what is tried for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// Its key in the parameters.
    pub name: String,
    /// What it may be.
    pub values: Values,
    /// What it is where nothing is said.
    pub default: Option<Value>,
}

/// What is tried for one parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// A number from `low` to `high`.
    Number {
        /// The least.
        low: f64,
        /// The largest.
        high: f64,
        /// Whether steps multiply instead of adding.
        log: bool,
        /// Whether it has to be whole.
        integer: bool,
    },
    /// One of these.
    Choice(Vec<Value>),
}

/// The parameters of a schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Domains {
    /// Those that can be searched.
    pub searched: Vec<Domain>,
    /// Those that are left as they are, and why.
    pub left: Vec<(String, &'static str)>,
}

impl Domain {
    /// The value at `place`: for a number its share of the way from `low` to `high`, for a choice its number.
    #[must_use]
    pub fn at(&self, place: f64) -> Value {
        match &self.values {
            Values::Choice(values) => values.get(place as usize).cloned().unwrap_or_default(),
            Values::Number { low, high, log, integer } => {
                let share = place.clamp(0.0, 1.0);
                let value = if *log { low * (high / low).powf(share) } else { low + (high - low) * share };
                if *integer { Value::from(value.round() as i64) } else { Value::from(rounded(value).clamp(*low, *high)) }
            }
        }
    }

    /// Where a value stands; the nearest place if it is outside. `None`: it is no such value.
    #[must_use]
    pub fn place_of(&self, value: &Value) -> Option<f64> {
        match &self.values {
            Values::Choice(values) => values.iter().position(|known| known == value).map(|place| place as f64),
            Values::Number { low, high, log, .. } => {
                let value = value.as_f64()?.clamp(*low, *high);
                let share = if *log { (value / low).ln() / (high / low).ln() } else { (value - low) / (high - low) };
                Some(share.clamp(0.0, 1.0))
            }
        }
    }

    /// Where the value stands that a table of parameters gives, or the default; the middle if neither says anything.
    #[must_use]
    pub fn place_in(&self, parameters: &Map<String, Value>) -> f64 {
        let value = parameters.get(&self.name).or(self.default.as_ref());
        value.and_then(|value| self.place_of(value)).unwrap_or(match self.values {
            Values::Number { .. } => 0.5,
            Values::Choice(_) => 0.0,
        })
    }

    /// The range for people.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.values {
            Values::Number { low, high, log, .. } => format!("{low} to {high}{}", if *log { ", by factors" } else { "" }),
            Values::Choice(values) => values.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
        }
    }
}

fn rounded(value: f64) -> f64 {
    format!("{value:.0$e}", DIGITS - 1).parse().unwrap_or(value)
}

/// The domains of the properties of a parameters schema, in its order of names.
#[must_use]
pub fn domains(schema: &Value) -> Domains {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let mut found = Domains::default();
    for (name, property) in properties {
        match values(property) {
            Ok(values) => found.searched.push(Domain { name: name.clone(), values, default: property.get("default").cloned() }),
            Err(why) => found.left.push((name.clone(), why)),
        }
    }
    found
}

fn values(property: &Value) -> Result<Values, &'static str> {
    let tune = property.get("x-tune");
    if tune == Some(&Value::Bool(false)) {
        return Err("its schema says so");
    }
    let kinds = property.get("type").map(|kind| kind.as_array().map_or(std::slice::from_ref(kind), Vec::as_slice)).unwrap_or_default();
    // A number that may be left out is a number.
    match kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null") {
        Some(kind @ ("number" | "integer")) => number(property, tune, kind == "integer"),
        _ if tune != Some(&Value::Bool(true)) => Err("it is no number, and its schema does not ask for it"),
        Some("boolean") => Ok(Values::Choice(vec![Value::Bool(false), Value::Bool(true)])),
        _ => match property.get("enum").and_then(Value::as_array) {
            Some(values) if (2..=CHOICES_MAX).contains(&values.len()) => Ok(Values::Choice(values.clone())),
            _ => Err("it is neither a number nor one of a few values"),
        },
    }
}

fn number(property: &Value, tune: Option<&Value>, integer: bool) -> Result<Values, &'static str> {
    let bound = |of: &Value, name: &str| of.get(name).and_then(Value::as_f64);
    let least = bound(property, "minimum").or(bound(property, "exclusiveMinimum"));
    let most = bound(property, "maximum").or(bound(property, "exclusiveMaximum"));
    let default = bound(property, "default").filter(|default| *default > 0.0);
    let asked = |name: &str| tune.and_then(|tune| bound(tune, name));
    let is_share = least.is_some_and(|least| least >= 0.0) && most.is_some_and(|most| most <= 1.0);
    let (low, high) = match (asked("minimum"), asked("maximum"), default) {
        (Some(low), Some(high), _) => (Some(low), Some(high)),
        (low, high, _) if is_share => (low.or(least), high.or(most)),
        (low, high, Some(default)) => {
            let around = |factor: f64| Some(rounded(default * factor));
            (low.or_else(|| around(1.0 / AROUND_DEFAULT)), high.or_else(|| around(AROUND_DEFAULT)))
        }
        _ => return Err("its schema has neither a default above zero nor a range to search"),
    };
    let (Some(low), Some(high)) = (low, high) else { return Err("its schema has no range to search") };
    let (low, high) = (least.map_or(low, |least| low.max(least)), most.map_or(high, |most| high.min(most)));
    let log = match tune.and_then(|tune| tune.get("scale")).and_then(Value::as_str) {
        Some("linear") => false,
        Some(_) => true,
        None => !is_share,
    };
    match low < high && low.is_finite() && high.is_finite() {
        true => Ok(Values::Number { low, high, log: log && low > 0.0, integer }),
        false => Err("its range to search is empty"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn domain(values: Values) -> Domain {
        Domain { name: "a".into(), values, default: None }
    }

    fn only(property: Value) -> Result<Values, &'static str> {
        values(&property)
    }

    #[test]
    fn ranges_come_from_the_schema() {
        let range = |low, high, log| Ok(Values::Number { low, high, log, integer: false });
        assert_eq!(only(json!({"type": "number", "default": 2, "minimum": 0, "maximum": 1e9})), range(0.0625, 64.0, true));
        assert_eq!(only(json!({"type": "number", "default": 6.25, "exclusiveMinimum": 0})), range(0.1953, 200.0, true));
        assert_eq!(only(json!({"type": "number", "default": 2, "minimum": 1, "maximum": 10})), range(1.0, 10.0, true));
        assert_eq!(only(json!({"type": "number", "default": 0.1, "minimum": 0, "maximum": 0.99})), range(0.0, 0.99, false));
        let tuned = json!({"type": "number", "default": 0, "x-tune": {"minimum": 1, "maximum": 5, "scale": "linear"}});
        assert_eq!(only(tuned), range(1.0, 5.0, false));
        let optional = json!({"type": ["number", "null"], "default": null, "x-tune": {"minimum": 4, "maximum": 200, "scale": "log"}});
        assert_eq!(only(optional), range(4.0, 200.0, true));
        assert_eq!(only(json!({"type": "boolean", "x-tune": true})), Ok(Values::Choice(vec![json!(false), json!(true)])));
        assert_eq!(only(json!({"enum": ["a", "b"], "x-tune": true})), Ok(Values::Choice(vec![json!("a"), json!("b")])));
        for left in [
            json!({"type": "number", "default": 0, "minimum": -1e9, "maximum": 1e9}),
            json!({"type": "number", "default": 3, "x-tune": false}),
            json!({"type": "boolean"}),
            json!({"type": "string", "x-tune": true}),
            json!({"type": "number", "x-tune": {"minimum": 5, "maximum": 5}}),
        ] {
            assert!(only(left.clone()).is_err(), "{left}");
        }
    }

    #[test]
    fn places_and_values_lead_to_each_other() {
        let log = domain(Values::Number { low: 0.01, high: 100.0, log: true, integer: false });
        assert_eq!((log.at(0.0), log.at(0.5), log.at(1.0), log.at(7.0)), (json!(0.01), json!(1.0), json!(100.0), json!(100.0)));
        assert!((log.place_of(&json!(1.0)).unwrap_or_default() - 0.5).abs() < 1e-12);
        assert_eq!((log.place_of(&json!(1e9)), log.place_of(&json!("x"))), (Some(1.0), None));
        let whole = domain(Values::Number { low: 1.0, high: 9.0, log: false, integer: true });
        assert_eq!(whole.at(0.4), json!(4));
        let choice = domain(Values::Choice(vec![json!("x"), json!("y")]));
        assert_eq!((choice.at(1.0), choice.place_of(&json!("y")), choice.place_of(&json!("z"))), (json!("y"), Some(1.0), None));
    }

    #[test]
    fn what_is_tried_has_few_digits() {
        let linear = domain(Values::Number { low: 0.0, high: 1.0, log: false, integer: false });
        assert_eq!(linear.at(1.0 / 3.0), json!(0.3333));
    }
}
