"""The screens: Gradio shows them, the workflows do the work. One module per tab; `app.build_ui` puts them together."""
