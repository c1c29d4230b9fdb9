from tests.support.provide import INSIDE_MACHINE

# test_vm.py runs these, in the machine.
collect_ignore = ["test_vm.py"] if INSIDE_MACHINE else ["inside"]
