"""The asynchronous engine: collection, inference, replay and learning as processes that do not wait for each other.

    rollout workers --observations--> inference --tokens, log mu, value, version--> rollout workers
    rollout workers --segments------> replay ----batches--------------------------> learner
    learner --------weights---------> inference
    learner --------snapshots (files)-----------------------------------------------> evaluator
    evaluator ------actions---------> its simulators --rows of episodes-------------> evaluator

All are Ray actors, started, watched and restarted by the supervisor in the calling process, but the evaluator's
simulators: they are processes of its own, which end with it. Each stored step carries
the version of the policy that took it, so the lag that lockstep sets is measured here. Every queue is bounded: a worker
has one request or one segment on its way, the inference takes the newest weights only, the learner holds one batch more
than it works on, and it waits for the evaluator when too many snapshots lie there.
"""
