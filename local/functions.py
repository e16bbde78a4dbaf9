"""`python -m local.functions`, which is `make routes`: prints a line for each function."""

import json

from function_app import app


def main() -> None:
    """Prints the methods, the route and the name of each function."""
    for function in app.get_functions():
        trigger = json.loads(function.get_raw_bindings()[0])
        print(f"{','.join(trigger.get('methods') or ['any']):<9} /api/{trigger['route']:<23} {function.get_function_name()}")


if __name__ == "__main__":
    main()
