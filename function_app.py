"""The function app that the Functions host loads."""

import azure.functions as func

from chat.routes import blueprint

app = func.FunctionApp()
app.register_functions(blueprint)
