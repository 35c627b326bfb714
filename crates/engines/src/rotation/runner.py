# Loads a file with a `lambda_handler`, as it was written for AWS, and has it do one step. CALL is put in front.
import importlib.util
import json
import os
import sys
import time

call = json.loads(CALL)
os.environ.update(call["environment"])
sys.path.insert(0, os.path.dirname(call["file"]))
begun = time.monotonic()


class Context:
    function_name = call["name"]
    function_version = "$LATEST"
    aws_request_id = call["event"]["ClientRequestToken"]
    memory_limit_in_mb = "128"

    def get_remaining_time_in_millis(self):
        return max(0, int(call["milliseconds"] - (time.monotonic() - begun) * 1000))


try:
    spec = importlib.util.spec_from_file_location("lambda_function", call["file"])
    module = importlib.util.module_from_spec(spec)
    sys.modules["lambda_function"] = module
    spec.loader.exec_module(module)
    module.lambda_handler(call["event"], Context())
except BaseException as error:
    if isinstance(error, SystemExit) and not error.code:
        raise
    print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr)
    sys.exit(1)
