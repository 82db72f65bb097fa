"""Installing the engine, the environment with the `gknet` command, from inside a host. Standard library only.

A host finds the wheel of its archive with `wheel.find_wheel`, shows what `sizes.estimate_size` says, offers CUDA if
`nvidia.has_nvidia_driver`, and calls `job.start_installation`. It reads the job's progress whenever it likes, and asks
for the engine or the error once the job is done. `installed.choose_command` prefers any other `gknet` command.
"""
