"""The trio program around the machine: it moves inputs and outputs between callers, disk, orchestrator and machine."""
