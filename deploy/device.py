"""The device profile of a run: shipped, from a file, or measured on this machine as the run starts."""

from __future__ import annotations

from learning.device import DeviceProfile, load_profile
from protocol.configuration import Experiment

MEASURED_HERE = "measured-here"


def device_profile(experiment: Experiment) -> DeviceProfile:
    """Profile that ``clients.device`` asks for. Raises DataError if there is no such profile."""
    if experiment.clients.device != MEASURED_HERE:
        return load_profile(experiment.clients.device)
    return _measure(experiment)


def _measure(experiment: Experiment) -> DeviceProfile:
    """Time a few training steps of the experiment's model on its longest samples."""
    from learning.data import load_dataset
    from learning.device import measure_here
    from learning.model import build_model, configure_torch

    configure_torch(experiment.training.threads)
    dataset = load_dataset(experiment)
    samples = dataset.train.first(8 * experiment.training.batch_size)
    model = build_model(experiment, len(dataset.class_names))
    inputs = model.task.encode(samples.contents, model.directory, experiment.model)
    return measure_here(model, inputs, samples.labels, experiment.training, experiment.model.sample_tokens)
