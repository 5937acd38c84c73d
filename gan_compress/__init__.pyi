from .pictures import read_picture as read_picture, write_frames as write_frames
