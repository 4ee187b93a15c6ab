"""``task.create`` and ``tasklist.create``.

Source of the rules: the policy service's specification, section 6.5.
"""

from policy_server.builtins.call import Call
from policy_server.builtins.declare import ANY, Builtin, builtin
from policy_server.builtins.waiting import an_object, asked
from policy_server.model.values import JsonObject
from policy_server.neighbours.link import Link
from policy_server.neighbours.tasks import Tasks


def functions(tasks: Tasks) -> tuple[Builtin, ...]:
    """Return both functions by a task service."""
    return (_creating("task.create", "task", tasks), _creating("tasklist.create", "taskList", tasks))


def _creating(name: str, kind: str, tasks: Tasks) -> Builtin:
    @builtin(name, args=("string", ANY), result=ANY, nondeterministic=True, blocking=True, changes=True)
    def create(call: Call, task: str, data: JsonObject) -> bytes:
        an_object(data, "the data")
        return asked(call, lambda seconds: tasks.create(kind, task, data, seconds))

    return create


task_create, tasklist_create = functions(Tasks(Link("task service", "", setting="POLICY_TASK_URL")))
