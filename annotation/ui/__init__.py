"""The screens: a page of ours, hosted by Gradio; `app.Screens` lists what it can ask, one module for each tab."""
