//! Parameters of any neuron model by name: what machines spread, share or round, and what learning moves.

use super::{Model, Neuron, Param, Range, Visit};
use crate::Value;
use serde_json::Value as Json;

/// The model with other parameters: `change` is shown each of them and gives what takes its place, or `None`. Names are those of network files, so
/// that every model of the registry can be changed, also those that are added.
///
/// ```
/// use snn_core::neuron::{Lif, Model, with_params};
/// let model = with_params(&Lif::default().into(), 2, |name, _, _| (name == "tau").then(|| vec![0.01, 0.02].into()))?;
/// assert_eq!(model, Model::from(Lif { tau: vec![0.01, 0.02].into(), ..Lif::default() }));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// The reason why the new parameters are impossible for `size` neurons.
pub fn with_params(model: &Model, size: usize, mut change: impl FnMut(&str, &Value, Range) -> Option<Value>) -> Result<Model, String> {
    struct Change<'a>(&'a mut dyn FnMut(&Param) -> Option<Value>);
    impl Visit for Change<'_> {
        type Out = Vec<(&'static str, Value)>;
        fn visit<N: Neuron>(self, model: &N) -> Self::Out {
            model.params().iter().filter_map(|param| Some((param.name, (self.0)(param)?))).collect()
        }
    }
    let changed = model.visit(Change(&mut |param| change(param.name, param.value, param.range)));
    if changed.is_empty() {
        return Ok(model.clone());
    }
    let failed = |e: serde_json::Error| format!("its parameters cannot be changed: {e}");
    let mut file = serde_json::to_value(model).map_err(failed)?;
    for (name, value) in changed {
        match file.get_mut(name) {
            Some(place @ (Json::Number(_) | Json::Array(_))) => *place = serde_json::to_value(value).map_err(failed)?,
            _ => return Err(format!("parameter `{name}` has no place of that name in a network file")),
        }
    }
    let model: Model = serde_json::from_value(file).map_err(failed)?;
    model.check(size).map(|()| model)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every parameter of every model can be given one number each, and nothing else changes.
    #[test]
    fn all_models_can_be_changed() {
        for model in Model::all() {
            let mut names = Vec::new();
            let each = |name: &str, value: &Value, _| {
                names.push(name.to_owned());
                Some(Value::Each(vec![value.at(0); 3]))
            };
            let changed = with_params(&model, 3, each).unwrap();
            let (before, after) = (serde_json::to_value(&model).unwrap(), serde_json::to_value(&changed).unwrap());
            for (key, value) in before.as_object().unwrap() {
                let expected = if names.contains(key) { Json::from(vec![value.clone(); 3]) } else { value.clone() };
                assert_eq!(after[key], expected, "{}: {key}", model.name());
            }
        }
    }

    #[test]
    fn impossible_values_are_named() {
        let model = Model::all().into_iter().find(|model| model.name() == "lif").unwrap();
        let why = with_params(&model, 1, |name, _, _| (name == "tau").then(|| (-1.0).into())).unwrap_err();
        assert!(why.contains("`tau` = -1"), "{why}");
        let why = with_params(&model, 1, |name, _, _| (name == "tau").then(|| f64::NAN.into())).unwrap_err();
        assert!(why.contains("cannot be changed"), "{why}");
    }
}
